// What the kernel returns of a table, laid out by hand: read whole, or not at all if its sizes do not add up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Blob,
  blobOf,
  layoutOf,
  matchesOf,
  setTargetPlace,
} from '../../../src/dialects/xtables/blob.ts';
import { shapeOf } from '../../../src/dialects/xtables/families.ts';
import { NetlinkError } from '../../../src/netlink/reader.ts';
import { blobOfForeign, type ForeignRule } from './foreign-table.ts';

const [DROP, ACCEPT, RETURN] = [-1, -2, -5];
const ruleTo = (target: ForeignRule['target']): ForeignRule => ({
  matches: [{ name: 'comment', data: new Uint8Array(8) }],
  flags: 0,
  counters: [1n, 2n],
  target,
});
/** LOG has the size of an error target, which begins a chain. */
const log = ruleTo({ kind: 'extension', name: 'LOG', data: new Uint8Array(32).fill(7) });
const set = ruleTo({ kind: 'extension', name: 'SET', data: new Uint8Array(8) });

/** A table of the family, as laid out without the code under test. */
function tableOf(family: 4 | 6): Blob {
  return blobOfForeign({
    family,
    hooks: [
      { hook: 1, rules: [], policy: ACCEPT },
      { hook: 3, rules: [set, log], policy: DROP },
    ],
    chains: [{ name: 'A', rules: [ruleTo({ kind: 'verdict', verdict: DROP })] }],
  });
}

/** struct ipt_getinfo. */
function infoOf({ validHooks, hookEntry, underflow, entryCount, entries }: Blob): Uint8Array {
  const words = [validHooks, ...hookEntry, ...underflow, entryCount, entries.length];
  return new Uint8Array([...new Uint8Array(32), ...new Uint8Array(Uint32Array.from(words).buffer)]);
}

for (const family of [4, 6] as const) {
  const shape = shapeOf(family);
  const table = tableOf(family);
  const { all } = layoutOf(shape, table);

  test(`the kernel's answers on a table of IPv${family} are read as its chains and rules`, () => {
    assert.deepEqual(blobOf(infoOf(table), table.entries), table);
    // A hook that is not valid may point anywhere.
    const hookEntry = table.hookEntry.map((entry, hook) => (hook === 1 || hook === 3 ? entry : 0));
    for (const blob of [table, { ...table, hookEntry }]) {
      const { chains, end, starts } = layoutOf(shape, blob);
      assert.deepEqual(
        chains.map(({ name, hook, head, rules }) => [
          name,
          hook,
          head?.offset,
          rules.map((rule) => rule.verdict),
        ]),
        [
          ['INPUT', 1, undefined, [ACCEPT]],
          ['OUTPUT', 3, undefined, [undefined, undefined, DROP]],
          ['A', null, all[4]?.offset, [DROP, RETURN]],
        ],
      );
      assert.deepEqual([end.offset, all.length], [all.at(-1)?.offset, table.entryCount]);
      assert.deepEqual(
        [...starts].map(([offset, { name }]) => [offset, name]),
        [
          [all[0]?.offset, 'INPUT'],
          [all[1]?.offset, 'OUTPUT'],
          [all[5]?.offset, 'A'],
        ],
      );
    }
    const [, adding, logging] = all.map(({ bytes }) => bytes);
    assert.ok(logging !== undefined && adding !== undefined);
    const { bytes: head } = shape.entry;
    assert.deepEqual(matchesOf(shape, logging), [{ name: 'comment', data: head + 32 }]);
    assert.equal(setTargetPlace(shape, logging), undefined);
    assert.equal(setTargetPlace(shape, adding), head + 40 + 32);
  });

  test(`sizes in a table of IPv${family} that do not add up are a NetlinkError`, () => {
    const info = infoOf(table);
    assert.throws(() => blobOf(info.subarray(0, 83), table.entries), NetlinkError);
    assert.throws(() => blobOf(info, table.entries.subarray(8)), NetlinkError);
    for (const wrong of [-1, 1])
      assert.throws(() => layoutOf(shape, { ...table, entryCount: table.entryCount + wrong }), NetlinkError);
    assert.throws(() => layoutOf(shape, { ...table, validHooks: 0 }), NetlinkError);
    assert.throws(
      () => layoutOf(shape, { ...table, entries: new Uint8Array(), entryCount: 0 }),
      NetlinkError,
    );
    const [first, last] = [all[0], all.at(-1)];
    const { bytes: head, targetOffset, nextOffset } = shape.entry;
    const changed = (at: number, place: number, value: number): Blob => {
      const entries = table.entries.slice();
      new DataView(entries.buffer).setUint16(at + place, value, true);
      return { ...table, entries };
    };
    for (const [at, place, value] of [
      [0, nextOffset, 0],
      [0, nextOffset, head + 40 + 31],
      [0, targetOffset, head - 1],
      [0, targetOffset, (first?.bytes.length ?? 0) - 31],
      [last?.offset ?? 0, nextOffset, (last?.bytes.length ?? 0) + 8],
    ] as const)
      assert.throws(
        () => layoutOf(shape, changed(at, place, value)),
        NetlinkError,
        `${at} ${place} ${value}`,
      );
    for (const size of [0, 31, 41]) {
      const entry = all[1]?.bytes.slice() ?? new Uint8Array();
      new DataView(entry.buffer).setUint16(head, size, true);
      assert.throws(() => matchesOf(shape, entry), NetlinkError, `a match of ${size}`);
    }
  });
}
