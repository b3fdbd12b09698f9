// A table of the kernel -> our part of it, in the shape that render() makes.

import { noBytes, u16 } from '../../netlink/reader.ts';
import {
  blobOf,
  type Entry,
  type Layout,
  layoutOf,
  matchesOf,
  setTargetPlace,
  verdictPlace,
} from './blob.ts';
import { INFO_BYTES, ourChains } from './constants.ts';
import { placesIn, tableNames } from './dumps.ts';
import { jumpsToOurs, jumpTarget } from './edit.ts';
import type { FamilyShape } from './families.ts';
import { type Chain, type TableObject, tableObject } from './objects.ts';
import { readIndexes } from './read-sets.ts';
import { type RuleSpec, ruleText } from './rule.ts';

/** Our tables only, from the headers of the sets and the replies to `tableDumps(tables)`. */
export function readTables(
  heads: Uint8Array,
  replies: readonly Uint8Array[],
  tables: readonly string[] = tableNames,
): TableObject[] {
  const names = new Map([...readIndexes(heads)].map(([name, index]) => [index, name]));
  return placesIn(tables).flatMap(({ shape, table }, index) => {
    const reply = replies[index] ?? noBytes;
    if (reply.length === 0) return [];
    const blob = blobOf(reply.subarray(0, INFO_BYTES), reply.subarray(INFO_BYTES));
    const found = readTable(shape, table, { layout: layoutOf(shape, blob), names });
    return found === undefined ? [] : [found];
  });
}

interface Found {
  readonly layout: Layout;
  readonly names: ReadonlyMap<number, string>;
}

/** Our part of a table; undefined if there is none. */
function readTable(shape: FamilyShape, table: string, found: Found): TableObject | undefined {
  const { layout } = found;
  const jumps = new Map<number, RuleSpec[]>();
  const chains: Chain[] = [];
  const stray: string[] = [];
  for (const chain of layout.chains) {
    if (ourChains.has(chain.name)) {
      // The last rule is the return that ends every chain.
      const rules = chain.rules.slice(0, -1).map((entry) => specOf(shape, entry, found));
      chains.push({ name: chain.name, rules });
      continue;
    }
    for (const [index, entry] of chain.rules.entries()) {
      if (!jumpsToOurs(layout, entry)) continue;
      const spec = specOf(shape, entry, found);
      const list = jumps.get(chain.hook ?? -1) ?? [];
      if (chain.hook !== null && index === list.length) jumps.set(chain.hook, [...list, spec]);
      else stray.push(`${chain.name} ${index}: ${ruleText(spec)}`);
    }
  }
  if (chains.length === 0 && jumps.size === 0) return undefined;
  return tableObject({ family: shape.family, table, jumps, chains }, stray.join('\n'));
}

/** An entry as a RuleSpec: counters and kernel-assigned numbers are zeroed, and sets and chains are named. */
function specOf(shape: FamilyShape, entry: Entry, { layout, names }: Found): RuleSpec {
  const bytes = entry.bytes.slice();
  const { cache, comeFrom, counters } = shape.entry;
  bytes.fill(0, cache, cache + 4);
  bytes.fill(0, comeFrom, comeFrom + 4);
  bytes.fill(0, counters, counters + 16);
  const named = (place: number): { place: number; name: string } => {
    const name = names.get(u16(bytes, place)) ?? '';
    bytes.fill(0, place, place + 2);
    return { place, name };
  };
  const sets = matchesOf(shape, bytes)
    .filter(({ name }) => name === 'set')
    .map(({ data }) => named(data));
  const place = setTargetPlace(shape, bytes);
  if (place !== undefined) sets.push(named(place));
  const target = jumpTarget(layout, entry);
  if (target !== undefined) bytes.fill(0, verdictPlace(shape, bytes), verdictPlace(shape, bytes) + 4);
  return { bytes, sets, chain: target?.name ?? null };
}
