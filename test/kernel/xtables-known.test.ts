// How often legacy tables are read: again if one changes meanwhile. Their list is read under a mutex of the
// kernel, and so not with each table.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { type TestContext, test } from 'node:test';
import { tableDumps } from '../../src/dialects/xtables/dumps.ts';
import { ownKernel } from './own-kernel.ts';
import { run, skip } from './own-xtables.ts';

/** Counts the readings of the lists from here on, and has them say `list` where it is given. */
function listings(t: TestContext): { count: number; list: string | undefined } {
  const listings = { count: 0, list: undefined as string | undefined };
  const { readSync } = fs;
  const counted = (fd: number, room: Uint8Array, ...rest: [number, number, number]): number => {
    listings.count++;
    if (listings.list === undefined) return readSync(fd, room, ...rest);
    return new TextEncoder().encodeInto(listings.list, room).written;
  };
  Object.assign(fs, { readSync: counted });
  syncBuiltinESMExports();
  t.after(() => {
    Object.assign(fs, { readSync });
    syncBuiltinESMExports();
  });
  return listings;
}

test('the list of tables is read until a table is in it, and again when that is gone', {
  skip,
}, async (t) => {
  using own = ownKernel();
  const lists = listings(t);
  const [question] = tableDumps(['raw']);
  const lengthOf = async (): Promise<number> => {
    const [bytes] = await own.kernel.dump(question === undefined ? [] : [question]);
    return bytes?.length ?? -1;
  };
  for (const count of [1, 2]) {
    equal(await lengthOf(), 0);
    equal(lists.count, count);
  }
  run(own, 'iptables-legacy -w -t raw -S');
  for (let times = 0; times < 3; times++) equal((await lengthOf()) > 0, true);
  equal(lists.count, 3);
  // As after its module was unloaded.
  lists.list = 'filter\n';
  Object.assign(own.kernel.tables, { option: async () => -2 });
  equal(await lengthOf(), 0);
  equal(lists.count, 4);
});

test('a table that changes while it is read is read again, up to four times', { skip }, async () => {
  using own = ownKernel();
  run(own, 'iptables-legacy -w -t raw -S');
  const { tables } = own.kernel;
  const option = tables.option.bind(tables);
  /** The answers to all questions of one dump, of which the first ones fail. */
  const asked = async (errno: number, failures: number) => {
    let questions = 0;
    const answer: typeof option = async (...question) =>
      questions++ < failures ? -errno : await option(...question);
    Object.assign(tables, { option: answer });
    const [bytes] = await own.kernel.dump(tableDumps(['raw']).slice(0, 1));
    return { isRead: (bytes?.length ?? 0) > 0, questions };
  };
  const whole = (await asked(0, 0)).questions;
  for (const errno of [2, 11]) {
    deepEqual(await asked(errno, 4), { isRead: true, questions: whole + 4 });
    await rejects(asked(errno, 5), { code: 'SystemCall', errno });
  }
  await rejects(asked(1, 1), { code: 'SystemCall', errno: 1 });
});
