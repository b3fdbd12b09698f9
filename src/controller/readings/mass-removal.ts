// What counts as a mass removal: a reading that would take most VIPs away at once is not believed until a
// second one agrees. Pure.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { Allocations, Allocator } from '../allocate.ts';
import type { Outcome } from '../allocation/families.ts';
import { asksOtherwise, type ServiceManifest } from '../service.ts';

/** Services as they were read last, null for one that is gone. */
export type Pending = ReadonlyMap<ServiceKey, ServiceManifest | null>;
/** What would become of Services, as far as it was found out already. */
export type Outcomes = ReadonlyMap<ServiceManifest, Outcome>;

/** A removal that waits. */
export interface MassRemoval {
  readonly vips: number;
  readonly secondsLeft: number;
}

/** How long a removal of most VIPs waits before it is looked at again. */
export const massRemovalWaitMs = 30_000;

/** Removals up to this many VIPs are an everyday matter, however few there are. */
export const massRemovalFew = 10;

/** What was read. */
export interface Change {
  readonly pending: Pending;
  /** Of these also those that ask for what they asked for before. */
  readonly doubtful: Pending;
  readonly outcomes: Outcomes;
}

/** The addresses that Services would have. Who asks for what it asked for has what it would get. */
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
