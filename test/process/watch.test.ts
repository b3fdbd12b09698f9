// A watched file: which changes of its folder are reported, and how often.
import { equal } from 'node:assert/strict';
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
