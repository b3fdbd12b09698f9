// A full disk: a removed VIP does not come back at the next start, and the journal is written as soon as
// there is room.
import { deepEqual, equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Journal } from '../../src/agent/disk/journal.ts';
import { journalFile, readJournal } from '../../src/agent/disk/journal-file.ts';
import { Node, skip } from '../kernel/node.ts';
import { port, vip } from '../kernel/own-kernel.ts';
import { untilTrue } from '../patience.ts';

const limit = { timeout: 60_000 };
const nth = (n: number) => vip(`10.60.${n >> 8}.${n & 255}`, [port(80)]);

/** A file system of 64 kB; where none can be mounted the test is skipped. */
function smallDisk(t: TestContext): string | undefined {
  const path = mkdtempSync(join(tmpdir(), 'vipward-'));
  const words = ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path];
  const { status, stderr } = spawnSync('mount', words, { encoding: 'utf8' });
  t.after(() => {
    if (status === 0) spawnSync('umount', [path]);
    rmdirSync(path);
  });
  if (status === 0) return path;
  t.skip(`no tmpfs can be mounted here: ${stderr.trim()}`);
  return undefined;
}

/** Fills the disk, and returns the error of the last write. */
function fill(disk: string): string {
  try {
    for (;;) appendFileSync(join(disk, 'filler'), Buffer.alloc(1024));
  } catch (error) {
    return (error as Error).message;
  }
}

interface Opened {
  readonly journal: Journal;
  readonly troubles: string[];
}

function open(disk: string): Opened {
  const troubles: string[] = [];
  return { journal: new Journal(disk, readJournal(disk), (trouble) => troubles.push(trouble)), troubles };
}

function put(journal: Journal, from: number, to: number, there = true): void {
  for (let n = from; n < to; n++) journal.rule(nth(n).address, there ? nth(n) : undefined);
}

/** What an agent would read at its start: the number of rules, the cluster, and the problem. */
function known(disk: string): [number, string | null, string | null] {
  const { state, problem } = readJournal(disk);
  return [state.rules.size, state.cluster, problem];
}

test('VIPs that are removed while the disk is full are absent at the next start', limit, async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  const { journal, troubles } = open(disk);
  journal.identity('c1', 3);
  put(journal, 0, 200);
  await untilTrue(() => known(disk)[0] === 200);
  match(fill(disk), /ENOSPC/);
  // The lines of the removals need another page of memory, and so does a second file beside the first.
  put(journal, 10, 200, false);
  await untilTrue(() => known(disk)[0] !== 200);
  await untilTrue(() => known(disk)[0] === 10);
  deepEqual(known(disk), [10, 'c1', null]);
  deepEqual(troubles, []);
  await journal.close();
  deepEqual(readdirSync(disk).sort(), [journalFile, 'filler']);
});

test(
  'a journal that does not fit is reported, leaves no stale rule, and is written once there is room',
  limit,
  async (t) => {
    const disk = smallDisk(t);
    if (disk === undefined) return;
    const { journal, troubles } = open(disk);
    journal.identity('c1', 3);
    put(journal, 0, 20);
    await untilTrue(() => known(disk)[0] === 20);
    match(fill(disk), /ENOSPC/);
    put(journal, 10, 20, false);
    put(journal, 100, 400);
    await untilTrue(() => journal.trouble !== '');
    match(journal.trouble, /^agent\.jsonl: ENOSPC.*; make room in \/.*; tried every 5 s/);
    deepEqual(known(disk), [0, 'c1', null]);
    rmSync(join(disk, 'filler'));
    put(journal, 150, 400, false);
    await untilTrue(() => journal.trouble === '');
    deepEqual(known(disk), [60, 'c1', null]);
    equal(troubles.length, 2);
    put(journal, 0, 1, false);
    await journal.close();
    deepEqual([known(disk)[0], existsSync(join(disk, `${journalFile}.new`))], [59, false]);
  },
);

test('the report of an unreadable journal ends once the journal is written anew', limit, async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  appendFileSync(join(disk, journalFile), '{"layout":1}\n{"cluster":"c1","generation":3}\n{"rule":');
  const { journal, troubles } = open(disk);
  match(journal.trouble, /^agent\.jsonl:3: /);
  put(journal, 0, 1);
  await journal.close();
  deepEqual([journal.trouble, troubles, known(disk)], ['', [''], [1, 'c1', null]]);
});

test('an agent with a full disk serves, and reports the disk in status until there is room', {
  ...limit,
  skip,
}, async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  match(fill(disk), /ENOSPC/);
  const dns = { name: 'dns', addresses: ['10.77.0.100'], ports: ['UDP 53'] };
  await using node = await Node.start({ services: [dns], agentArgs: ['--state', disk] });
  await node.until('the trouble in status', async () => {
    const { problems, inSync, vips } = await node.status();
    return inSync && vips[0]?.state === 'serving' && /ENOSPC.*make room in/.test(problems[0] ?? '');
  });
  rmSync(join(disk, 'filler'));
  await node.until('no trouble', async () => (await node.status()).problems.length === 0);
  equal(known(disk)[0], 1);
});

test('an agent whose disk does not answer ends on SIGTERM and leaves the VIP on its interface', {
  ...limit,
  skip,
}, async (t) => {
  const disk = mkdtempSync(join(tmpdir(), 'vipward-'));
  t.after(() => rmSync(disk, { recursive: true }));
  // Opening a pipe without a reader blocks for ever, as a file server that is gone does.
  equal(spawnSync('mkfifo', [join(disk, `${journalFile}.new`)]).status, 0);
  const dns = { name: 'dns', addresses: ['10.77.0.100'], ports: ['UDP 53'] };
  await using node = await Node.start({ services: [dns], agentArgs: ['--state', disk] });
  equal(await node.killAgent('SIGTERM'), 0);
  match(node.log, /the disk of .* does not answer/);
  match(node.run('ip address show dev lan'), /10\.77\.0\.100\/32/);
});
