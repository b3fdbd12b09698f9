// A foreign table with our rules in it: foreign rules stay, byte for byte, and ours are in their places.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Blob, layoutOf, verdictPlace } from '../../../src/dialects/xtables/blob.ts';
import { edit, jumpTarget } from '../../../src/dialects/xtables/edit.ts';
import { shapeOf } from '../../../src/dialects/xtables/families.ts';
import type { TableObject } from '../../../src/dialects/xtables/objects.ts';
import { ruleset, type XtOptions } from '../../../src/dialects/xtables/ruleset.ts';
import { NetlinkError } from '../../../src/netlink/reader.ts';
import { needsOf } from '../arbitraries.ts';
import { anyForeignTable, blobOfForeign, type ForeignRule, type ForeignTable } from './foreign-table.ts';

const options: XtOptions = {
  places: { guard: 'raw', input: 'mangle', egress: 'mangle' },
  fragments: true,
  localAddresses: true,
  counters: false,
  echo: true,
  observe: false,
};

/** Our wanted rules of a table, with egress or without. */
function wantedIn({ family, hooks }: ForeignTable, egress: boolean): TableObject {
  const needs = { ...needsOf([]), egress };
  const table = hooks.some(({ hook }) => hook === 1) ? 'mangle' : 'raw';
  const found = ruleset(needs, options).find(
    (object) => object.kind === 'table' && object.family === family && object.table === table,
  );
  return found as TableObject;
}

const index = (set: string): number => set.length;

test('adding and removing our rules restores the table', () => {
  fc.assert(
    fc.property(anyForeignTable(), fc.boolean(), (table, egress) => {
      const shape = shapeOf(table.family);
      const before = blobOfForeign(table);
      const within = edit(shape, before, wantedIn(table, egress), index);
      assert.deepEqual(bare(edit(shape, within, null, index)), before);
    }),
  );
});

test('an edit makes the same table whatever rules of ours it had before', () => {
  fc.assert(
    fc.property(anyForeignTable(), fc.boolean(), fc.boolean(), (table, first, then) => {
      const shape = shapeOf(table.family);
      const before = blobOfForeign(table);
      const direct = edit(shape, before, wantedIn(table, then), index);
      const twice = edit(
        shape,
        edit(shape, before, wantedIn(table, first), index),
        wantedIn(table, then),
        index,
      );
      assert.deepEqual(bare(twice), bare(direct));
    }),
  );
});

test('every foreign chain keeps its rules in their order, with their counters and jumps', () => {
  fc.assert(
    fc.property(anyForeignTable(), fc.boolean(), (table, egress) => {
      const before = blobOfForeign(table);
      const within = edit(shapeOf(table.family), before, wantedIn(table, egress), index);
      const ours = (line: string): boolean => /vipward-(guard|input|egress|forged|sent)/.test(line);
      const left = described(table, within).filter((line) => !ours(line));
      assert.deepEqual(left.toSorted(byChain), described(table, before).toSorted(byChain));
      assert.deepEqual(within.entryCount, layoutOf(shapeOf(table.family), within).all.length);
    }),
  );
});

test('the first rule of each wanted hook is our jump, and its policy stays last', () => {
  fc.assert(
    fc.property(anyForeignTable(), (table) => {
      const shape = shapeOf(table.family);
      const wanted = wantedIn(table, false);
      const layout = layoutOf(shape, edit(shape, blobOfForeign(table), wanted, index));
      for (const chain of layout.chains.filter(({ hook }) => hook !== null)) {
        const [first] = chain.rules;
        const target = first === undefined ? undefined : jumpTarget(layout, first);
        const isWanted = wanted.jumps.has(chain.hook ?? -1);
        assert.equal(/^vipward-(guard|input|forged)$/.test(target?.name ?? ''), isWanted);
        const policy = table.hooks.find(({ hook }) => hook === chain.hook)?.policy;
        assert.equal(chain.rules.at(-1)?.verdict, policy);
      }
    }),
  );
});

test('our chains stand together, where iptables would sort the first of them', () => {
  fc.assert(
    fc.property(anyForeignTable(), fc.boolean(), (table, egress) => {
      const shape = shapeOf(table.family);
      const wanted = wantedIn(table, egress);
      const layout = layoutOf(shape, edit(shape, blobOfForeign(table), wanted, index));
      const names = layout.chains.flatMap(({ hook, name }) => (hook === null ? [name] : []));
      const ours = wanted.chains.map(({ name }) => name);
      const first = ours[0] ?? '';
      const foreign = names.filter((name) => !ours.includes(name));
      const [before, behind] = [true, false].map((is) => foreign.filter((name) => name < first === is));
      assert.deepEqual(names, [...(before ?? []), ...ours, ...(behind ?? [])]);
    }),
  );
});

const bareRule = (target: ForeignRule['target']): ForeignRule => {
  return { matches: [], flags: 0, counters: [0n, 0n], target };
};
const through = bareRule({ kind: 'through' });

test('a rule in front of our jump goes on behind it once the jump is gone', () => {
  const last = bareRule({ kind: 'verdict', verdict: -1 });
  const ours = bareRule({ kind: 'chain', chain: 0 });
  const table = (rules: readonly ForeignRule[], ...names: readonly string[]): Blob => {
    const chains = names.map((name) => ({ name, rules: [] }));
    return blobOfForeign({ family: 4, hooks: [{ hook: 0, rules, policy: -2 }], chains });
  };
  const within = table([through, ours, ours, last], 'vipward-guard');
  assert.deepEqual(bare(edit(shapeOf(4), within, null, index)), table([through, last]));
});

test('a jump to where no entry begins is a NetlinkError', () => {
  const hooks = [{ hook: 0, rules: [through], policy: -2 }];
  const blob = blobOfForeign({ family: 4, hooks, chains: [] });
  const shape = shapeOf(4);
  const [entry] = layoutOf(shape, blob).all;
  assert.ok(entry !== undefined);
  const entries = blob.entries.slice();
  new DataView(entries.buffer).setInt32(verdictPlace(shape, entry.bytes), entry.bytes.length + 8, true);
  assert.throws(() => edit(shape, { ...blob, entries }, null, index), NetlinkError);
});

test('the origins lead every entry to the old one whose counters it keeps', () => {
  fc.assert(
    fc.property(anyForeignTable(), (table) => {
      const shape = shapeOf(table.family);
      const before = blobOfForeign(table);
      const old = layoutOf(shape, before).all;
      const within = edit(shape, before, wantedIn(table, false), index);
      for (const [place, entry] of layoutOf(shape, within).all.entries()) {
        const origin = within.origins[place] ?? -1;
        const { counters } = shape.entry;
        const expected = old[origin]?.bytes.subarray(counters, counters + 16) ?? new Uint8Array(16);
        assert.deepEqual(entry.bytes.slice(counters, counters + 16), expected.slice());
      }
      assert.deepEqual(
        within.origins.filter((origin) => origin >= 0),
        [...old.keys()],
      );
    }),
  );
});

test('a corrupted table gives a value or a NetlinkError', () => {
  const blob = fc.record({
    validHooks: fc.nat(31),
    hookEntry: fc.array(fc.nat(600), { minLength: 5, maxLength: 5 }),
    underflow: fc.array(fc.nat(600), { minLength: 5, maxLength: 5 }),
    entryCount: fc.nat(4),
    entries: fc.uint8Array({ maxLength: 600 }),
  });
  const damaged = fc
    .tuple(anyForeignTable().map(blobOfForeign), fc.nat(), fc.nat(255))
    .map(([whole, at, byte]) => {
      const entries = whole.entries.slice();
      entries[at % entries.length] = byte;
      return { ...whole, entries };
    });
  fc.assert(
    fc.property(fc.oneof(blob, damaged), fc.constantFrom(4 as const, 6 as const), (one, family) => {
      try {
        edit(shapeOf(family), one, null, index);
      } catch (error) {
        assert.ok(error instanceof NetlinkError, String(error));
      }
    }),
  );
});

function bare({ validHooks, hookEntry, underflow, entryCount, entries }: Blob): Blob {
  return { validHooks, hookEntry, underflow, entryCount, entries };
}

/** A sort is stable: the rules of a chain keep their order. */
function byChain(a: string, b: string): number {
  return (a.split(' ')[0] ?? '').localeCompare(b.split(' ')[0] ?? '');
}

/** Each entry in words that do not depend on its place: its bytes, and the name of its target. */
function described(table: ForeignTable, blob: Blob): string[] {
  const layout = layoutOf(shapeOf(table.family), blob);
  return layout.chains.flatMap((chain) =>
    [...(chain.head === null ? [] : [chain.head]), ...chain.rules].map((entry) => {
      const bytes = Buffer.from(entry.bytes);
      const target = jumpTarget(layout, entry);
      const positive = entry.verdict !== undefined && entry.verdict >= 0;
      if (positive) bytes.fill(0, bytes.length - 8, bytes.length - 4);
      return `${chain.name} ${bytes.toString('hex')} ${target?.name ?? (positive ? 'through' : '')}`;
    }),
  );
}
