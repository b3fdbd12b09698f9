// A watched file: which changes of its folder are reported, and how often.
import { equal } from 'node:assert/strict';
import { mkdtempDisposableSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
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
