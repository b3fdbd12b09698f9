// Edits our rules into a copy of a table. Foreign entries keep their bytes, except for the offsets of their
// jumps.

import { NetlinkError } from '../../netlink/reader.ts';
import { type Blob, type BlobChain, type Entry, type Layout, layoutOf, verdictPlace } from './blob.ts';
import { NF_INET_NUMHOOKS, ourChains, Verdict } from './constants.ts';
import type { FamilyShape } from './families.ts';
import type { TableObject } from './objects.ts';
import { chainHead, Rule, type RuleSpec } from './rule.ts';

export interface Edited extends Blob {
  /** For every entry, its index in the old table; -1 for a new entry. */
  readonly origins: readonly number[];
}

type Wanted = Pick<TableObject, 'jumps' | 'chains'>;

/** An entry of the new table: an old one, or a new one without its set indexes and jumps yet. */
type Item =
  | { readonly kind: 'old'; readonly entry: Entry }
  | { readonly kind: 'new'; readonly spec: RuleSpec; readonly startsChain: string | null };

const nobody: Wanted = { jumps: new Map(), chains: [] };

/**
 * Removes our rules and adds the wanted ones (none if `wanted` is null): jumps become the first rules of
 * their hooks, and our chains stand where iptables would sort them. Throws NetlinkError.
 */
export function edit(
  shape: FamilyShape,
  blob: Blob,
  wanted: Wanted | null,
  indexOf: (set: string) => number,
): Edited {
  const layout = layoutOf(shape, blob);
  const items: Item[] = [];
  const hooks = new Map<number, { first: number; last: number }>();
  const { jumps, chains } = wanted ?? nobody;
  let placed = false;
  const placeOurs = (): void => {
    if (!placed) items.push(...chains.flatMap((chain) => chainItems(shape, chain.name, chain.rules)));
    placed = true;
  };
  for (const chain of layout.chains) {
    if (ourChains.has(chain.name)) continue;
    if (chain.hook === null && chain.name > (chains[0]?.name ?? '')) placeOurs();
    const first = items.length;
    for (const spec of jumps.get(chain.hook ?? -1) ?? [])
      items.push({ kind: 'new', spec, startsChain: null });
    if (chain.head !== null) items.push({ kind: 'old', entry: chain.head });
    for (const entry of chain.rules) if (!jumpsToOurs(layout, entry)) items.push({ kind: 'old', entry });
    if (chain.hook !== null) hooks.set(chain.hook, { first, last: items.length - 1 });
  }
  placeOurs();
  items.push({ kind: 'old', entry: layout.end });
  return assemble({ shape, blob, layout, items, hooks, indexOf });
}

/** Whether a rule jumps to one of our chains, which makes the rule ours. */
export function jumpsToOurs(layout: Layout, entry: Entry): boolean {
  const chain = entry.verdict === undefined ? undefined : jumpTarget(layout, entry);
  return chain !== undefined && ourChains.has(chain.name);
}

/** The chain that a rule jumps to; undefined for a verdict or for a rule without a target. */
export function jumpTarget(layout: Layout, { verdict, offset, bytes }: Entry): BlobChain | undefined {
  if (verdict === undefined || verdict < 0 || verdict === offset + bytes.length) return undefined;
  return layout.starts.get(verdict);
}

function chainItems(shape: FamilyShape, name: string, rules: readonly RuleSpec[]): Item[] {
  const head = { bytes: chainHead(shape, name), sets: [], chain: null };
  const all = [head, ...rules, new Rule(shape).verdict(Verdict.RETURN)];
  return all.map((spec, index) => ({ kind: 'new', spec, startsChain: index === 1 ? name : null }));
}

interface Parts {
  readonly shape: FamilyShape;
  readonly blob: Blob;
  readonly layout: Layout;
  readonly items: readonly Item[];
  readonly hooks: ReadonlyMap<number, { readonly first: number; readonly last: number }>;
  readonly indexOf: (set: string) => number;
}

function assemble({ shape, blob, layout, items, hooks, indexOf }: Parts): Edited {
  const offsets: number[] = [];
  const movedTo = new Map<number, number>();
  const starts = new Map<string, number>();
  let size = 0;
  for (const item of items) {
    offsets.push(size);
    if (item.kind === 'old') movedTo.set(item.entry.offset, size);
    else if (item.startsChain !== null) starts.set(item.startsChain, size);
    size += (item.kind === 'old' ? item.entry : item.spec).bytes.length;
  }
  // A rule before a removed entry goes on to the next entry that is kept.
  let behind = size;
  for (const { offset } of layout.all.toReversed()) {
    behind = movedTo.get(offset) ?? behind;
    movedTo.set(offset, behind);
  }
  const entries = new Uint8Array(size);
  const view = new DataView(entries.buffer);
  for (const [index, item] of items.entries()) {
    const at = offsets[index] ?? 0;
    if (item.kind === 'old') {
      const { bytes, verdict } = item.entry;
      entries.set(bytes, at);
      if (verdict === undefined || verdict < 0) continue;
      const to = movedTo.get(verdict);
      if (to === undefined) throw new NetlinkError(`a jump to ${verdict}, where no entry begins`);
      view.setInt32(at + verdictPlace(shape, bytes), to, true);
    } else {
      const { bytes, sets, chain } = item.spec;
      entries.set(bytes, at);
      for (const { place, name } of sets) view.setUint16(at + place, indexOf(name), true);
      if (chain !== null) view.setInt32(at + verdictPlace(shape, bytes), starts.get(chain) ?? 0, true);
    }
  }
  const known = new Map(layout.all.map(({ offset }, index) => [offset, index]));
  const places = (which: 'first' | 'last', unused: readonly number[]): number[] =>
    Array.from({ length: NF_INET_NUMHOOKS }, (_, hook) => {
      const found = hooks.get(hook);
      return found === undefined ? (unused[hook] ?? 0) : (offsets[found[which]] ?? 0);
    });
  return {
    validHooks: blob.validHooks,
    hookEntry: places('first', blob.hookEntry),
    underflow: places('last', blob.underflow),
    entryCount: items.length,
    entries,
    origins: items.map((item) => (item.kind === 'old' ? (known.get(item.entry.offset) ?? -1) : -1)),
  };
}
