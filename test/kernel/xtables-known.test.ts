// The list of legacy tables is read under a mutex of the kernel, and so not with each table.
import { equal } from 'node:assert/strict';
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
