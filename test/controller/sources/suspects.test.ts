// Files that disappear one after another are confirmed together, and none before it has been absent for a
// while.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Suspects } from '../../../src/controller/sources/suspects.ts';

/** Suspects on a clock that only pass() moves, and the files that were read again, with the time. */
function watched(t: TestContext, settle: () => Promise<void> = async () => undefined) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  const read: { readonly atMs: number; readonly files: readonly string[] }[] = [];
  const suspects = new Suspects({
    settle,
    readAgain: async (files) => {
      read.push({ atMs: now, files });
      for (const file of files) if (suspects.isConfirmed(file, 'gone')) suspects.delete(file);
    },
    nowMs: () => now,
  });
  const pass = async (ms: number): Promise<void> => {
    for (const endMs = now + ms; now < endMs; ) {
      now++;
      t.mock.timers.tick(1);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
  };
  return { suspects, pass, read };
}

test('a suspect file is read again after 100 ms without a change', async (t) => {
  const { suspects, pass, read } = watched(t);
  equal(suspects.isConfirmed('a', 'gone'), false);
  await pass(1000);
  deepEqual(read, [{ atMs: 100, files: ['a'] }]);
});

test('files that disappear one after another are read again together', async (t) => {
  for (const gapMs of [1, 49, 51, 70, 90]) {
    await t.test(`${gapMs} ms apart`, async (inner) => {
      const { suspects, pass, read } = watched(inner);
      const files = Array.from({ length: 8 }, (_, index) => `s${index}`);
      for (const file of files) {
        suspects.isConfirmed(file, 'gone');
        await pass(gapMs);
      }
      await pass(1000);
      deepEqual(read, [{ atMs: 7 * gapMs + 100, files }]);
    });
  }
});

test('an endless series of suspects delays the first one by at most 1.1 s', async (t) => {
  const { suspects, pass, read } = watched(t);
  suspects.isConfirmed('first', 'gone');
  for (let index = 0; index < 40; index++) {
    await pass(50);
    suspects.isConfirmed(`s${index}`, 'gone');
  }
  const [earliest = { atMs: 0, files: [] }] = read;
  ok(earliest.files.includes('first') && earliest.files.length >= 15, JSON.stringify(read));
  ok(earliest.atMs >= 1000 && earliest.atMs <= 1100, `${earliest.atMs}`);
  await pass(2000);
  equal(new Set(read.flatMap(({ files }) => files)).size, 41);
});

test('a file that changes again starts its 100 ms again', async (t) => {
  const { suspects, pass, read } = watched(t);
  suspects.isConfirmed('a', 'half');
  await pass(60);
  suspects.isConfirmed('a', 'gone');
  await pass(1000);
  deepEqual(read, [{ atMs: 160, files: ['a'] }]);
});

test('a file that is read for another reason meanwhile is not confirmed by that', async (t) => {
  const { suspects, pass, read } = watched(t);
  suspects.isConfirmed('a', 'gone');
  await pass(80);
  equal(suspects.isConfirmed('a', 'gone'), false);
  suspects.isConfirmed('b', 'gone');
  await pass(1000);
  deepEqual(read, [{ atMs: 180, files: ['a', 'b'] }]);
});

test('a file that is as before is not read again', async (t) => {
  const { suspects, pass, read } = watched(t);
  suspects.isConfirmed('a', 'gone');
  await pass(50);
  suspects.delete('a');
  await pass(1000);
  deepEqual(read, []);
});

test('suspects wait for files that are still being read, however long that takes', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { suspects, pass, read } = watched(t, () => promise);
  suspects.isConfirmed('a', 'gone');
  await pass(5000);
  suspects.isConfirmed('b', 'gone');
  resolve();
  await pass(1000);
  deepEqual(read, [{ atMs: 5100, files: ['a', 'b'] }]);
});
