// Services that found no address, or fewer than they would take: those who ask again when one comes free.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { RefusalReason, type ServiceManifest, type ServiceRefusal } from '../service.ts';

export class Waiting {
  readonly #refusals = new Map<ServiceKey, ServiceRefusal>();
  /** Services that prefer both families and have only one, with the other. */
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

  /** Once those that were refused since this was asked. */
  takeRefused(): ReadonlySet<ServiceKey> {
    const refused = this.#refused;
    if (refused.size > 0) this.#refused = new Set();
    return refused;
  }

  /** Those who found no address, or could have one more of a family that there is. */
  *all(has: (family: Family) => boolean): Generator<ServiceKey, void> {
    for (const [key, { reason }] of this.#refusals)
      if (reason === RefusalReason.PoolExhausted || reason === RefusalReason.AddressTaken) yield key;
    for (const [key, family] of this.#lacks) if (has(family)) yield key;
  }
}
