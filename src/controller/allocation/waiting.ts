// Services that lack an address and ask again when one comes free.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { RefusalReason, type ServiceManifest, type ServiceRefusal } from '../service.ts';

export class Waiting {
  readonly #refusals = new Map<ServiceKey, ServiceRefusal>();
  /** Services that prefer two families and have one, with the missing family. */
  readonly #lacks = new Map<ServiceKey, Family>();
  #refused = new Set<ServiceKey>();

  get refusals(): ReadonlyMap<ServiceKey, ServiceRefusal> {
    return this.#refusals;
  }

  refused(key: ServiceKey, refusal: ServiceRefusal): void {
    this.#refusals.set(key, refusal);
    this.#refused.add(key);
    this.#lacks.delete(key);
  }

  given({ key, wish }: ServiceManifest, addresses: readonly Address[]): void {
    this.forget(key);
    if (wish.policy !== 'PreferDualStack') return;
    const [family, other] = new Set(addresses.map(familyOf));
    if (family !== undefined && other === undefined) this.#lacks.set(key, family === 4 ? 6 : 4);
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

  /** Services without an address, and those that lack an address of a family in the pools. */
  *all(has: (family: Family) => boolean): Generator<ServiceKey, void> {
    for (const [key, { reason }] of this.#refusals)
      if (reason === RefusalReason.PoolExhausted || reason === RefusalReason.AddressTaken) yield key;
    for (const [key, family] of this.#lacks) if (has(family)) yield key;
  }
}
