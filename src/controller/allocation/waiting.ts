// Services that lack an address and ask again when one comes free.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { RefusalReason, type ServiceManifest, type ServiceRefusal } from '../service.ts';

/** The family that a Service prefers to have too. */
interface Lack {
  readonly family: Family;
  /** It may also get an address that other Services share with it. */
  readonly shares: boolean;
}

export class Waiting {
  /** Whether a pool has a free address of the family. */
  readonly #isFree: (family: Family) => boolean;
  readonly #refusals = new Map<ServiceKey, ServiceRefusal>();
  /** Services that prefer two families and have one. */
  readonly #lacks = new Map<ServiceKey, Lack>();
  #refused = new Set<ServiceKey>();

  constructor(isFree: (family: Family) => boolean) {
    this.#isFree = isFree;
  }

  get refusals(): ReadonlyMap<ServiceKey, ServiceRefusal> {
    return this.#refusals;
  }

  refused(key: ServiceKey, refusal: ServiceRefusal): void {
    this.#refusals.set(key, refusal);
    this.#refused.add(key);
    this.#lacks.delete(key);
  }

  given({ key, wish, sharingKey }: ServiceManifest, addresses: readonly Address[]): void {
    this.forget(key);
    if (wish.policy !== 'PreferDualStack') return;
    const [family, other] = new Set(addresses.map(familyOf));
    if (family === undefined || other !== undefined) return;
    this.#lacks.set(key, { family: family === 4 ? 6 : 4, shares: sharingKey !== null });
  }

  forget(key: ServiceKey): void {
    this.#refusals.delete(key);
    this.#lacks.delete(key);
  }

  /** Returns the Services refused since the last call. */
  takeRefused(): ReadonlySet<ServiceKey> {
    const refused = this.#refused;
    if (refused.size > 0) this.#refused = new Set();
    return refused;
  }

  /** Services without an address, and those that lack a family and may get it. */
  *all(): Generator<ServiceKey, void> {
    for (const [key, { reason }] of this.#refusals)
      if (reason === RefusalReason.PoolExhausted || reason === RefusalReason.AddressTaken) yield key;
    const free = ([4, 6] as const).filter(this.#isFree);
    for (const [key, { family, shares }] of this.#lacks) if (shares || free.includes(family)) yield key;
  }

  /** False for a Service that lacks a family of which no address is free: there may be very many. */
  mayGain(key: ServiceKey): boolean {
    const lack = this.#lacks.get(key);
    return lack === undefined || lack.shares || this.#isFree(lack.family);
  }
}
