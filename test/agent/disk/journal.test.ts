// The state on disk: what was written is read back, and a truncated file loses only what is missing.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Journal } from '../../../src/agent/disk/journal.ts';
import { journalFile, readJournal } from '../../../src/agent/disk/journal-file.ts';
import type { Address } from '../../../src/state/address.ts';
import type { Placement } from '../../../src/state/virtual-ip.ts';
import { port, vip } from '../../kernel/own-kernel.ts';
import { until } from '../../patience.ts';

const web = vip('10.50.0.1', [port(80)]);
const dns = vip('fd00::1', [port(53, { protocol: 'UDP' })], { egress: true });
const placed: Placement = { address: web.address, term: { generation: 3, n: 7 } };

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'vipward-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function open(directory: string): Journal {
  return new Journal(directory, readJournal(directory), (trouble) => equal(trouble, ''));
}

/** A file with both VIPs, the placement and an identity. */
async function written(context: TestContext): Promise<string> {
  const directory = folder(context);
  const journal = open(directory);
  journal.identity('c1', 3);
  journal.rule(web.address, web);
  journal.rule(dns.address, dns);
  journal.placement(web.address, placed);
  await journal.close();
  return directory;
}

test('the journal reads back the identity, rules and placements that were written', async (t) => {
  const { state, problem } = readJournal(await written(t));
  equal(problem, null);
  deepEqual([state.cluster, state.generation], ['c1', 3]);
  deepEqual([...state.rules.values()], [web, dns]);
  deepEqual([...state.placements.values()], [placed]);
});

test('a later line of the journal removes or replaces what an earlier one set', async (t) => {
  const directory = await written(t);
  const journal = open(directory);
  journal.rule(dns.address, undefined);
  await settled(directory, (text) => !text.includes('fd00::1'));
  const text = readFileSync(join(directory, journalFile), 'utf8');
  // Longer than changes are collected: without a change nothing is written.
  await sleep(200);
  equal(readFileSync(join(directory, journalFile), 'utf8'), text);
  const more = vip('10.50.0.1', [port(80), port(443)]);
  journal.rule(web.address, more);
  journal.placement(web.address, undefined);
  await journal.close();
  match(readFileSync(join(directory, journalFile), 'utf8'), /"noPlacement":"10\.50\.0\.1"/);
  const { state, problem } = readJournal(directory);
  deepEqual([problem, [...state.rules.values()], state.placements.size], [null, [more], 0]);
});

test('a truncated last line loses that line alone, and the next write repairs the file', async (t) => {
  const directory = await written(t);
  const path = join(directory, journalFile);
  const whole = readFileSync(path, 'utf8').trimEnd();
  writeFileSync(path, whole.slice(0, -9));
  const { state, problem } = readJournal(directory);
  match(problem ?? '', /^agent\.jsonl:5: /);
  deepEqual([state.rules.size, state.placements.size, state.cluster], [2, 0, 'c1']);
  const journal = open(directory);
  journal.placement(web.address, placed);
  await journal.close();
  const again = readJournal(directory);
  deepEqual([again.problem, again.state.placements.size], [null, 1]);
});

test('a journal of another layout is not read, and the problem names both layouts', async (t) => {
  const directory = await written(t);
  const path = join(directory, journalFile);
  writeFileSync(path, readFileSync(path, 'utf8').replace('"layout":1', '"layout":2'));
  const { state, problem } = readJournal(directory);
  match(problem ?? '', /layout 2 is not 1/);
  deepEqual([state.rules.size, state.placements.size, state.cluster], [0, 0, null]);
});

test('a value that no controller could have sent ends the reading, and the problem has its path', (t) => {
  const directory = folder(t);
  writeFileSync(join(directory, journalFile), '{"layout":1}\n{"rule":{"address":"010.0.0.1"}}\n');
  match(readJournal(directory).problem ?? '', /^agent\.jsonl:2: rule\.address/);
});

test('without a file the journal is empty and has no problem', (t) => {
  const { state, problem } = readJournal(folder(t));
  deepEqual([problem, state.rules.size, state.cluster, state.generation], [null, 0, null, 0]);
});

test('a journal that has grown by changes is written anew, readable for its owner alone', async (t) => {
  const directory = folder(t);
  const path = join(directory, journalFile);
  const journal = open(directory);
  let most = 0;
  for (let n = 1; n <= 60; n++) {
    // Many keys at once, because of one key only the last state is ever written.
    for (let host = 0; host < 40; host++) {
      const one = vip(`10.60.0.${host}`, [port(n)]);
      journal.rule(one.address, one);
    }
    await settled(directory, (text) => text.includes(`"port":${n},`));
    most = Math.max(most, readFileSync(path, 'utf8').split('\n').length);
  }
  equal(openFiles(path), 1);
  await journal.close();
  equal(openFiles(path), 0);
  ok(most < 40 * 2 + 1000 + 100, `${most} lines for 40 VIPs`);
  equal(statSync(path).mode & 0o777, 0o600);
  const { state } = readJournal(directory);
  deepEqual([state.rules.size, state.rules.get('10.60.0.39' as Address)?.ports[0]?.port], [40, 60]);
});

test('another generation alone is appended, and so is a placement alone, each once', async (t) => {
  const directory = await written(t);
  const journal = open(directory);
  const text = (): string => readFileSync(join(directory, journalFile), 'utf8');
  journal.identity('c1', 4);
  await settled(directory, (now) => now.includes('"generation":4'));
  const before = text();
  journal.identity('c2', 9);
  await settled(directory, (now) => now.includes('"generation":9'));
  const other = { ...placed, term: { generation: 9, n: 1 } };
  journal.placement(web.address, other);
  await settled(directory, (now) => now.includes('"generation":9,"n":1'));
  journal.placement(web.address, other);
  // Longer than changes are collected.
  await sleep(200);
  const lines = [{ cluster: 'c2', generation: 9 }, { placement: other }].map((line) => JSON.stringify(line));
  equal(text(), `${before}${lines.join('\n')}\n`);
  journal.identity('c2', 10);
  await journal.close();
  const { state, problem } = readJournal(directory);
  deepEqual([problem, state.cluster, state.generation], [null, 'c2', 10]);
  deepEqual([...state.placements.values()], [other]);
});

for (const isEnd of [false, true])
  test(`changes during a write are written after it${isEnd ? ' as the process ends' : ''}`, async (t) => {
    const directory = folder(t);
    const journal = open(directory);
    const many = Array.from({ length: 30_000 }, (_, n) => vip(`10.70.${n >> 8}.${n & 255}`, [port(80)]));
    for (const one of many) journal.rule(one.address, one);
    const path = join(directory, journalFile);
    while (!existsSync(`${path}.new`) && !existsSync(path)) await sleep(1);
    journal.rule('10.70.0.0' as Address, undefined);
    journal.placement(web.address, placed);
    if (!isEnd) await settled(directory, (text) => text.includes('"noRule":"10.70.0.0"'));
    await journal.close();
    const { state, problem } = readJournal(directory);
    deepEqual([problem, state.rules.size, state.placements.size], [null, many.length - 1, 1]);
  });

test('a burst of changes is appended in writes of limited size', async (t) => {
  const directory = await written(t);
  const journal = open(directory);
  journal.identity('c1', 4);
  await settled(directory, (now) => now.includes('"generation":4'));
  await using file = await openFile(join(directory, journalFile), 'r');
  const writes = t.mock.method(Object.getPrototypeOf(file) as FileHandle, 'appendFile');
  const many = Array.from({ length: 1200 }, (_, n) => vip(`10.71.${n >> 8}.${n & 255}`, [port(80)]));
  for (const one of many) journal.rule(one.address, one);
  await journal.close();
  const lines = writes.mock.calls.map((call) => String(call.arguments[0]).split('\n').length - 1);
  deepEqual(lines, [500, 500, 200]);
  equal(readJournal(directory).state.rules.size, many.length + 2);
});

/** How many descriptors of this process are open at a path, or were before it was replaced. */
function openFiles(path: string): number {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => target.startsWith(path)).length;
}

/** Waits until the file meets the condition. */
async function settled(directory: string, condition: (text: string) => boolean): Promise<void> {
  const text = (): string => {
    try {
      return readFileSync(join(directory, journalFile), 'utf8');
    } catch {
      return '';
    }
  };
  await until(`${condition}`, () => condition(text()), text);
}
