// Defines a mass removal: a reading that would remove most VIPs at once is not believed until a second one
// agrees. Pure.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { Allocations, Allocator } from '../allocate.ts';
import type { Outcome } from '../allocation/families.ts';
import { asksOtherwise, type ServiceManifest } from '../service.ts';

/** Services as last read; null for one that is gone. */
export type Pending = ReadonlyMap<ServiceKey, ServiceManifest | null>;
/** The outcomes of Services, as far as they were computed already. */
export type Outcomes = ReadonlyMap<ServiceManifest, Outcome>;

/** A removal that waits. */
export interface MassRemoval {
  readonly vips: number;
  readonly secondsLeft: number;
}

/** How long a removal of most VIPs waits before the source is read again. */
export const massRemovalWaitMs = 30_000;

/** Removing up to this many VIPs never counts as a mass removal, even if it is all of them. */
export const massRemovalFew = 10;

/** A reading to judge. */
export interface Change {
  readonly pending: Pending;
  /** The pending Services whose addresses may change although they ask for the same as before. */
  readonly doubtful: Pending;
  readonly outcomes: Outcomes;
}

/** The addresses that pending Services would have. Omits those that ask for the same and are not doubtful. */
export function addressesAfter(
  allocator: Allocator,
  { pending, doubtful, outcomes }: Change,
): Map<ServiceKey, readonly Address[]> {
  const after = new Map<ServiceKey, readonly Address[]>();
  for (const [key, service] of pending) {
    const known = allocator.services.get(key);
    const isSame = known !== undefined && service !== null && !asksOtherwise(known, service);
    if (isSame && !doubtful.has(key)) continue;
    const outcome =
      service === null ? { addresses: [] } : (outcomes.get(service) ?? allocator.outcomeOf(service));
    after.set(key, 'addresses' in outcome ? outcome.addresses : []);
  }
  return after;
}

/** How many VIPs lose their last Service if `after` holds, and all other Services keep their addresses. */
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

/** More than half of the VIPs, and more than a few. */
export function isMassRemoval({ lost, all }: { readonly lost: number; readonly all: number }): boolean {
  return lost > massRemovalFew && lost * 2 > all;
}
