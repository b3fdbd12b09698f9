// Services that lack an address and ask again when one comes free. There may be very many, so only those ask
// that may get one.

import { type Address, type Family, familyOf } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { ServiceManifest, ServiceRefusal } from '../service.ts';
import { type Ground, hasFree } from './assign.ts';
import type { Outcome } from './families.ts';

/** What a Service waits for: an address of this family, of the pool or, if null, of any. */
interface Lack {
  readonly family: Family;
  readonly pool: string | null;
  /** It may also get an address that other Services share under this key. */
  readonly sharingKey: string | null;
  /** Addresses that it had: it may get one back that is not free to others. */
  readonly had: readonly Address[];
}

const nothing: readonly Address[] = [];
const none: ReadonlySet<Address> = new Set();

export class Waiting {
  readonly #ground: Ground;
  readonly #refusals = new Map<ServiceKey, ServiceRefusal>();
  /** Services that are refused since no address is free, or that prefer two families and have one. */
  readonly #lacks = new Map<ServiceKey, Lack>();
  /** The Services that are refused since other Services have an address that they ask for, by address. */
  readonly #rivals = new Map<Address, Set<ServiceKey>>();
  /** The address that each of them is refused for. */
  readonly #taken = new Map<ServiceKey, Address>();
  /** Addresses with rivals that a Service has left or shares otherwise, since the last round of asking. */
  readonly #loose = new Set<Address>();
  /** Any address was: Services that lack one may share it now. */
  #hasRoom = false;
  #refused = new Set<ServiceKey>();
  /** The answers of hasFree by pool. They hold until a Service is given an address. */
  readonly #free: Readonly<Record<Family, Map<string | null, boolean>>> = { 4: new Map(), 6: new Map() };
  /** The addresses that came free before this round of asking. */
  #released = none;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  get refusals(): ReadonlyMap<ServiceKey, ServiceRefusal> {
    return this.#refusals;
  }

  /** `had` are the addresses that the Service had before. */
  refused(
    { key, pool, sharingKey }: ServiceManifest,
    { refusal, lacks, taken }: Extract<Outcome, { readonly refusal: ServiceRefusal }>,
    had: readonly Address[],
  ): void {
    this.#refusals.set(key, refusal);
    this.#refused.add(key);
    if (lacks === undefined) this.#lacks.delete(key);
    else this.#lacks.set(key, { family: lacks, pool, sharingKey, had });
    this.#giveUp(key);
    if (taken === undefined) return;
    this.#taken.set(key, taken);
    this.#rivals.set(taken, (this.#rivals.get(taken) ?? new Set()).add(key));
  }

  given({ key, pool, wish, sharingKey }: ServiceManifest, addresses: readonly Address[]): void {
    this.#doubt();
    this.forget(key);
    if (wish.policy !== 'PreferDualStack') return;
    const [family, other] = new Set(addresses.map(familyOf));
    if (family === undefined || other !== undefined) return;
    this.#lacks.set(key, { family: family === 4 ? 6 : 4, pool, sharingKey, had: nothing });
  }

  forget(key: ServiceKey): void {
    this.#refusals.delete(key);
    this.#lacks.delete(key);
    this.#giveUp(key);
  }

  /** How many Services are refused since others have these addresses, or lack any address if one is left. */
  extentOf(addresses: Iterable<Address>, isAnyLeft: boolean): number {
    let count = isAnyLeft ? this.#lacks.size : 0;
    for (const address of addresses) count += this.#rivals.get(address)?.size ?? 0;
    return count;
  }

  /** A Service leaves these addresses, or shares them otherwise: those that could not have one ask again. */
  loosen(addresses: readonly Address[]): void {
    this.#hasRoom ||= addresses.length > 0;
    for (const address of addresses) if (this.#rivals.has(address)) this.#loose.add(address);
  }

  /** A Service with these addresses is changed: it may leave others a port of one that they could share. */
  changed(before: ServiceManifest, now: ServiceManifest, addresses: readonly Address[]): void {
    const shared = ({ sharingKey, ports }: ServiceManifest) => JSON.stringify([sharingKey, ports]);
    if (shared(before) === shared(now)) return;
    const { users } = this.#ground;
    const isKeyed = before.sharingKey !== null || now.sharingKey !== null;
    this.loosen(addresses.filter((address) => isKeyed || !users.hasNoneBut(address, now.key)));
  }

  /** Returns the Services refused since the last call. */
  takeRefused(): ReadonlySet<ServiceKey> {
    const refused = this.#refused;
    if (refused.size > 0) this.#refused = new Set();
    return refused;
  }

  /**
   * Begins a round of asking, after these addresses came free: the Services that may get one they lack. None
   * after null, unless an address was loosened.
   */
  *all(released: ReadonlySet<Address> | null = none): Generator<ServiceKey, void> {
    const isIdle = released === null && !this.#hasRoom;
    this.#hasRoom = false;
    if (isIdle) return;
    for (const address of this.#loose) yield* this.#rivals.get(address) ?? [];
    this.#loose.clear();
    this.#doubt();
    this.#released = released ?? none;
    for (const key of this.#lacks.keys()) if (this.mayGain(key)) yield key;
  }

  /** False for a Service that lacks an address and cannot get one any more in this round. */
  mayGain(key: ServiceKey): boolean {
    const lack = this.#lacks.get(key);
    if (lack === undefined || this.#isFree(lack)) return true;
    if (lack.had.some((address) => this.#released.has(address))) return true;
    return this.#ground.free.sharedBy(lack.sharingKey).some((address) => familyOf(address) === lack.family);
  }

  /** The Service is no rival any more for the address that it was refused for. */
  #giveUp(key: ServiceKey): void {
    const taken = this.#taken.get(key);
    if (taken === undefined) return;
    this.#taken.delete(key);
    const rivals = this.#rivals.get(taken);
    rivals?.delete(key);
    if (rivals?.size === 0) this.#rivals.delete(taken);
  }

  #isFree({ family, pool }: Lack): boolean {
    const known = this.#free[family].get(pool);
    if (known !== undefined) return known;
    const isFree = hasFree(family, pool, this.#ground);
    this.#free[family].set(pool, isFree);
    return isFree;
  }

  #doubt(): void {
    this.#free[4].clear();
    this.#free[6].clear();
  }
}
