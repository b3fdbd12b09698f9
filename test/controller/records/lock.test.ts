// One controller per folder of records: a second process names the first one and writes nothing.

import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { type Lock, takeLock } from '../../../src/controller/records/lock.ts';
import { stateFile } from '../../../src/controller/records/records.ts';
import { patient, until } from '../../patience.ts';
import { program } from '../../program.ts';
import { ending, folder } from '../fixture.ts';

const limit = { timeout: patient(60_000) };

const locks = (dir: string) => readdirSync(dir).filter((name) => name.endsWith('.lock'));

function start(t: TestContext, dir: string): ChildProcessWithoutNullStreams {
  const where = ['--services', dir, '--state', dir, '--pool', 'p=10.77.0.100', '--listen', '127.0.0.1:0'];
  const child = spawn(process.execPath, [program, 'controller', ...where], { stdio: 'pipe' });
  const ended = once(child, 'exit');
  ending(t).defer(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

/** Resolves once it has logged that it listens. */
async function listening({ stdout }: ChildProcessWithoutNullStreams): Promise<void> {
  let said = '';
  stdout.on('data', (chunk) => {
    said += chunk;
  });
  await until('it listens', () => said.includes('"listening"'));
}

test('a second controller does not start on the records of one that runs', limit, async (t) => {
  const dir = folder(t);
  const first = start(t, dir);
  await listening(first);
  const before = readFileSync(stateFile(dir), 'utf8');
  const isTaken = async () => {
    const second = start(t, dir);
    const [err, [code]] = await Promise.all([text(second.stderr), once(second, 'exit')]);
    equal(code, 1, err);
    const who = `--state ${dir}: another vipward controller uses it \\(pid ${first.pid}\\); end it first`;
    match(err, new RegExp(`^vipward controller: ${who}, .*\\n$`));
    equal(readFileSync(stateFile(dir), 'utf8'), before);
  };
  await isTaken();
  first.kill('SIGSTOP');
  await isTaken();
  first.kill('SIGKILL');
  await once(first, 'exit');
  equal(locks(dir).length, 1);
  const third = start(t, dir);
  await listening(third);
  deepEqual(
    locks(dir).map((name) => name.split('-')[1]),
    [String(third.pid)],
  );
  third.kill('SIGTERM');
  await once(third, 'exit');
  deepEqual(locks(dir), []);
});

test('of three controllers that take the lock at once exactly one gets it', limit, async (t) => {
  for (let round = 0; round < 20; round++) {
    const dir = folder(t);
    const outcomes = await Promise.allSettled([takeLock(dir), takeLock(dir), takeLock(dir)]);
    const held = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    equal(held.length, 1);
    equal(locks(dir).length, 1);
    for (const lock of held) lock[Symbol.dispose]();
  }
});

test('a stale lock file is removed, and another file is left alone', limit, async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'controller-1-1-ab.lock'), 'from a backup');
  writeFileSync(join(dir, 'mine.lock'), '');
  using lock: Lock = await takeLock(dir);
  equal(lock.problem, null);
  deepEqual(
    locks(dir).filter((name) => !name.includes(`-${process.pid}-`)),
    ['mine.lock'],
  );
});

test(
  'a stale lock that cannot be removed, as on a read-only disk, keeps no controller out',
  limit,
  async (t) => {
    const dir = folder(t);
    mkdirSync(join(dir, 'controller-1-1-ab.lock'));
    using lock = await takeLock(dir);
    equal(lock.problem, null);
  },
);

test('the records report that --state is no folder, and what to do', limit, async (t) => {
  const file = join(folder(t), 'file');
  writeFileSync(file, '');
  const child = start(t, file);
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  const why = `${stateFile(file)}: ENOTDIR: .*; give --state a folder this process may write, with room`;
  match(err, new RegExp(`^vipward controller: ${why}\\n$`));
  equal(code, 1);
});

test('the refusal says that the other controller is in another PID namespace', limit, async (t) => {
  const dir = folder(t);
  const other = createServer().listen(join(dir, 'controller-1-1-ab.lock'));
  t.after(() => other.close());
  await once(other, 'listening');
  await rejects(takeLock(dir), /another vipward controller uses it \(in another PID namespace\); end it/);
});

test('a folder with a long path can be locked', limit, async (t) => {
  const dir = join(folder(t), 'a'.repeat(100), 'b');
  using lock = await takeLock(dir);
  equal(lock.problem, null);
  await rejects(takeLock(dir), { code: 'BadState' });
});
