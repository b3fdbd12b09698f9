// How often a path of Services that is missing is looked for.
import { fail, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileSource } from '../../../src/controller/sources/files.ts';
import { folder } from '../fixture.ts';

test('a missing path is looked for twice a second, however often it was asked for', {
  timeout: 30_000,
}, async (t) => {
  const ending = new AbortController();
  t.after(() => ending.abort());
  let readings = 0;
  const source = new FileSource({
    path: join(folder(t), 'missing'),
    onReading: () => readings++,
    onError: (error) => fail(String(error)),
    signal: ending.signal,
  });
  for (let times = 0; times < 20; times++) {
    await source.readAll();
    await sleep(5);
  }
  readings = 0;
  await sleep(1100);
  ok(readings >= 1 && readings <= 2, `${readings} readings`);
});
