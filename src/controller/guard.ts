// Empty truth: a reading that would take most VIPs away at once is not believed until a second one agrees.
// Pure.

import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';

/** How long a removal of most VIPs waits before it is looked at again. */
export const massRemovalWaitMs = 30_000;

/** Removals up to this many VIPs are an everyday matter, however few there are. */
export const massRemovalFew = 10;

/** The VIPs that nobody would use any more without these Services. */
export function vipsLost(
  removed: ReadonlySet<ServiceKey>,
  assigned: ReadonlyMap<ServiceKey, readonly Address[]>,
): { readonly lost: number; readonly all: number } {
  const all = new Set<Address>();
  const kept = new Set<Address>();
  for (const [key, addresses] of assigned) {
    for (const address of addresses) {
      all.add(address);
      if (!removed.has(key)) kept.add(address);
    }
  }
  return { lost: all.size - kept.size, all: all.size };
}

export function isMassRemoval({ lost, all }: { readonly lost: number; readonly all: number }): boolean {
  return lost > massRemovalFew && lost * 2 > all;
}
