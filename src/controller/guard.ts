// Empty truth: a reading that would take most VIPs away at once is not believed until a second one agrees.
// Pure.

import type { Address } from '../state/address.ts';
import type { Allocations } from './allocate.ts';

/** A removal that waits. */
export interface MassRemoval {
  readonly vips: number;
  readonly secondsLeft: number;
}

/** How long a removal of most VIPs waits before it is looked at again. */
export const massRemovalWaitMs = 30_000;

/** Removals up to this many VIPs are an everyday matter, however few there are. */
export const massRemovalFew = 10;

/** How many VIPs nobody would use any more if these Services had what `after` says of them, and no other. */
export function vipsLost(
  after: Allocations,
  assigned: Allocations,
): { readonly lost: number; readonly all: number } {
  const all = new Set<Address>();
  const kept = new Set<Address>();
  for (const [key, addresses] of assigned) {
    for (const address of addresses) all.add(address);
    for (const address of after.get(key) ?? addresses) kept.add(address);
  }
  for (const addresses of after.values()) for (const address of addresses) kept.add(address);
  return { lost: all.difference(kept).size, all: all.size };
}

export function isMassRemoval({ lost, all }: { readonly lost: number; readonly all: number }): boolean {
  return lost > massRemovalFew && lost * 2 > all;
}
