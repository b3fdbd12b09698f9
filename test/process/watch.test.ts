// A watched file: which changes of its folder are reported, and how often.
import { deepEqual, equal } from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchFile } from '../../src/process/watch.ts';
import { untilTrue } from '../patience.ts';

/** Longer than a file must stay unchanged. */
const longMs = 200;

test('a file is reported once it stays unchanged, also by a link that Kubernetes swaps', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-watch-'));
  const [path, other] = [join(folder.path, 'token'), join(folder.path, 'other')];
  const ending = new AbortController();
  let changes = 0;
  const onChange = () => changes++;
  const onError = (error: Error) => {
    throw error;
  };
  watchFile({ path, onChange, onError, signal: ending.signal });
  writeFileSync(other, 'a');
  await sleep(longMs);
  equal(changes, 0);
  for (const text of ['a', 'b', 'c']) writeFileSync(path, text);
  await untilTrue(() => changes > 0);
  await sleep(longMs);
  equal(changes, 1);
  symlinkSync('new', join(folder.path, '..data_tmp'));
  renameSync(join(folder.path, '..data_tmp'), join(folder.path, '..data'));
  await untilTrue(() => changes > 1);
  await sleep(longMs);
  writeFileSync(path, 'd');
  await sleep(10);
  ending.abort();
  await sleep(longMs);
  equal(changes, 2);
});

test('a file is reported when another folder comes to its path, and when it changes there', async () => {
  using root = mkdtempDisposableSync(join(tmpdir(), 'vipward-watch-'));
  const at = (...names: readonly string[]) => join(root.path, ...names);
  const make = (name: string) => {
    mkdirSync(at(name));
    writeFileSync(at(name, 'token'), name);
  };
  const ending = new AbortController();
  const read: string[] = [];
  const text = () => (existsSync(at('now')) ? readFileSync(at('now', 'token'), 'utf8') : 'gone');
  const onChange = () => read.push(text());
  const onError = (error: Error) => {
    throw error;
  };
  for (const name of ['a', 'b', 'c']) make(name);
  symlinkSync('a', at('now'));
  watchFile({ path: at('now', 'token'), onChange, onError, signal: ending.signal });
  const reads = (wanted: string) => untilTrue(() => read.at(-1) === wanted);
  symlinkSync('b', at('next'));
  renameSync(at('next'), at('now'));
  await reads('b');
  writeFileSync(at('b', 'token'), 'written');
  await reads('written');
  rmSync(at('now'));
  await reads('gone');
  renameSync(at('c'), at('now'));
  await reads('c');
  writeFileSync(at('now', 'token'), 'last');
  await reads('last');
  ending.abort();
  const { length } = read;
  make('d');
  writeFileSync(at('now', 'token'), 'unread');
  await sleep(longMs);
  equal(read.length, length);
});

test('a link further up is followed within ten seconds, and no change is reported twice', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  using root = mkdtempDisposableSync(join(tmpdir(), 'vipward-watch-'));
  const at = (...names: readonly string[]) => join(root.path, ...names);
  for (const name of ['1', '2']) {
    mkdirSync(at(name, 'etc'), { recursive: true });
    writeFileSync(at(name, 'etc', 'token'), name);
  }
  const path = at('now', 'etc', 'token');
  const ending = new AbortController();
  const read: string[] = [];
  const onChange = () => read.push(readFileSync(path, 'utf8'));
  const onError = (error: Error) => {
    throw error;
  };
  symlinkSync('1', at('now'));
  watchFile({ path, onChange, onError, signal: ending.signal });
  await sleep(longMs);
  symlinkSync('2', at('next'));
  renameSync(at('next'), at('now'));
  await sleep(longMs);
  t.mock.timers.tick(10_000);
  await untilTrue(() => read.length > 0);
  writeFileSync(path, 'written');
  await untilTrue(() => read.length > 1);
  t.mock.timers.tick(10_000);
  await sleep(longMs);
  deepEqual(read, ['2', 'written']);
  ending.abort();
  writeFileSync(path, 'unread');
  t.mock.timers.tick(10_000);
  await sleep(longMs);
  equal(read.length, 2);
});
