// Files that go one after another are believed together, and none before it has stayed away for a while.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Suspects } from '../../../src/controller/sources/suspects.ts';

/** Suspects on a clock that stands still but for pass(), and all that was read again, with the time of it. */
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

test('one file is read again when it has stayed so for 100 ms', async (t) => {
  const { suspects, pass, read } = watched(t);
  equal(suspects.isConfirmed('a', 'gone'), false);
  await pass(1000);
  deepEqual(read, [{ atMs: 100, files: ['a'] }]);
});

test('files that go one after another go together', async (t) => {
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

test('whoever comes without end keeps nobody waiting for ever', async (t) => {
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

test('what is written changed again begins anew', async (t) => {
  const { suspects, pass, read } = watched(t);
  suspects.isConfirmed('a', 'half');
  await pass(60);
  suspects.isConfirmed('a', 'gone');
  await pass(1000);
  deepEqual(read, [{ atMs: 160, files: ['a'] }]);
});

test('one that is read for another reason meanwhile is not believed for that', async (t) => {
  const { suspects, pass, read } = watched(t);
  suspects.isConfirmed('a', 'gone');
  await pass(80);
  equal(suspects.isConfirmed('a', 'gone'), false);
  suspects.isConfirmed('b', 'gone');
  await pass(1000);
  deepEqual(read, [{ atMs: 180, files: ['a', 'b'] }]);
});

test('one that is as it was before is not read again', async (t) => {
  const { suspects, pass, read } = watched(t);
  suspects.isConfirmed('a', 'gone');
  await pass(50);
  suspects.delete('a');
  await pass(1000);
  deepEqual(read, []);
});

test('those that are still being read are waited for, however long that takes', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { suspects, pass, read } = watched(t, () => promise);
  suspects.isConfirmed('a', 'gone');
  await pass(5000);
  suspects.isConfirmed('b', 'gone');
  resolve();
  await pass(1000);
  deepEqual(read, [{ atMs: 5100, files: ['a', 'b'] }]);
});
