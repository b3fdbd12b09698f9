// Services that lack an address and ask again when one comes free. There may be very many, so only those ask
// that may get one.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { RefusalReason, type ServiceManifest, type ServiceRefusal } from '../service.ts';
import type { Outcome } from './families.ts';

/** What a Service waits for: an address of this family, of the pool or, if null, of any. */
interface Lack {
  readonly family: Family;
  readonly pool: string | null;
  /** It may also get an address that other Services share with it. */
  readonly shares: boolean;
  /** Addresses that it had: it may get one back that is not free to others. */
  readonly had: readonly Address[];
}

const nothing: readonly Address[] = [];
const none: ReadonlySet<Address> = new Set();

export class Waiting {
  /** Whether the pool, or any if null, has a free address of the family. */
  readonly #hasFree: (family: Family, pool: string | null) => boolean;
  readonly #refusals = new Map<ServiceKey, ServiceRefusal>();
  /** Services that are refused since no address is free, or that prefer two families and have one. */
  readonly #lacks = new Map<ServiceKey, Lack>();
  #refused = new Set<ServiceKey>();
  /** The answers of #hasFree by pool. They hold until a Service is given an address. */
  readonly #free: Readonly<Record<Family, Map<string | null, boolean>>> = { 4: new Map(), 6: new Map() };
  /** The addresses that came free before this round of asking. */
  #released = none;

  constructor(hasFree: (family: Family, pool: string | null) => boolean) {
    this.#hasFree = hasFree;
  }

  get refusals(): ReadonlyMap<ServiceKey, ServiceRefusal> {
    return this.#refusals;
  }

  /** `had` are the addresses that the Service had before. */
  refused(
    { key, pool, sharingKey }: ServiceManifest,
    { refusal, lacks }: Extract<Outcome, { readonly refusal: ServiceRefusal }>,
    had: readonly Address[],
  ): void {
    this.#refusals.set(key, refusal);
    this.#refused.add(key);
    if (lacks === undefined) this.#lacks.delete(key);
    else this.#lacks.set(key, { family: lacks, pool, shares: sharingKey !== null, had });
  }

  given({ key, pool, wish, sharingKey }: ServiceManifest, addresses: readonly Address[]): void {
    this.#doubt();
    this.forget(key);
    if (wish.policy !== 'PreferDualStack') return;
    const [family, other] = new Set(addresses.map(familyOf));
    if (family === undefined || other !== undefined) return;
    this.#lacks.set(key, { family: family === 4 ? 6 : 4, pool, shares: sharingKey !== null, had: nothing });
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

  /**
   * Begins a round of asking, after these addresses came free: the Services that may get one they lack. None
   * after null.
   */
  *all(released: ReadonlySet<Address> | null = none): Generator<ServiceKey, void> {
    if (released === null) return;
    this.#doubt();
    this.#released = released;
    for (const [key, { reason }] of this.#refusals) if (reason === RefusalReason.AddressTaken) yield key;
    for (const key of this.#lacks.keys()) if (this.mayGain(key)) yield key;
  }

  /** False for a Service that lacks an address and cannot get one any more in this round. */
  mayGain(key: ServiceKey): boolean {
    const lack = this.#lacks.get(key);
    if (lack === undefined || lack.shares) return true;
    return this.#isFree(lack) || lack.had.some((address) => this.#released.has(address));
  }

  #isFree({ family, pool }: Lack): boolean {
    const known = this.#free[family].get(pool);
    if (known !== undefined) return known;
    const isFree = this.#hasFree(family, pool);
    this.#free[family].set(pool, isFree);
    return isFree;
  }

  #doubt(): void {
    this.#free[4].clear();
    this.#free[6].clear();
  }
}
