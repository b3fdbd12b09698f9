// Which Service has which VIPs. Pure: no clock, no machine; a change costs the Services it names, never all
// of them.

import { type Address, type Family, familyOf } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import { exhausted, type Outcome, wantedFamilies, whyNoPool, whyNoVip } from './families.ts';
import { Free } from './free.ts';
import { type Pool, poolOf } from './pools.ts';
import {
  compareServices,
  haveOnePort,
  RefusalReason,
  type ServiceManifest,
  type ServiceRefusal,
} from './service.ts';
import { Users } from './users.ts';

export interface ServiceChanges {
  readonly set: readonly ServiceManifest[];
  readonly remove: readonly ServiceKey[];
}

/** Addresses by the Service that has them, or had them. */
export type Allocations = ReadonlyMap<ServiceKey, readonly Address[]>;

const nothing: readonly Address[] = [];

/** Keeps the allocation as Services come, change and go. What it remembers is what store.ts writes down. */
export class Allocator {
  readonly services: ReadonlyMap<ServiceKey, ServiceManifest>;
  /** True for an address that a node may still have, which cannot be told to let it go. */
  isHeld: (address: Address) => boolean = () => false;
  readonly #services = new Map<ServiceKey, ServiceManifest>();
  readonly #assigned: Map<ServiceKey, readonly Address[]>;
  readonly #former: Map<ServiceKey, readonly Address[]>;
  readonly #users = new Users();
  readonly #refusals = new Map<ServiceKey, ServiceRefusal>();
  readonly #free: Free;
  #pools: readonly Pool[];

  /** `remembered` and `former` are those of an earlier run: a Service that comes back finds its own. */
  constructor(pools: readonly Pool[], remembered: Allocations, former: Allocations = new Map()) {
    this.services = this.#services;
    this.#assigned = new Map(remembered);
    this.#former = new Map(former);
    this.#pools = pools;
    this.#free = new Free(pools, (address) => this.isHeld(address));
    // What is remembered is taken before its Service is read: nobody else finds it free meanwhile.
    for (const [key, addresses] of remembered) for (const address of addresses) this.#users.add(address, key);
  }

  /** What each Service has, or had before this start if it has not been read yet. */
  get assigned(): Allocations {
    return this.#assigned;
  }

  /** What Services had that are refused now: theirs again, once they are not and if nobody else has it. */
  get former(): Allocations {
    return this.#former;
  }

  get refusals(): ReadonlyMap<ServiceKey, ServiceRefusal> {
    return this.#refusals;
  }

  addressesOf(key: ServiceKey): readonly Address[] {
    return this.#services.has(key) ? (this.#assigned.get(key) ?? nothing) : nothing;
  }

  /** The Services on an address, first come first. */
  usersOf(address: Address): readonly ServiceManifest[] {
    const users: ServiceManifest[] = [];
    for (const key of this.#users.of(address)) {
      const service = this.#services.get(key);
      if (service !== undefined) users.push(service);
    }
    return users.sort(compareServices);
  }

  isUsed(address: Address): boolean {
    return this.#users.has(address);
  }

  /** How many addresses of a pool are taken, for the metrics. */
  usedOf(pool: Pool): number {
    let count = 0;
    for (const address of this.#users.addresses()) if (poolOf([pool], address) !== undefined) count++;
    return count;
  }

  /** Applies a change and returns every address whose VIP may now be another, in use or not. */
  apply({ set, remove }: ServiceChanges): ReadonlySet<Address> {
    const touched = new Set<Address>();
    for (const key of remove) this.#remove(key, touched);
    // Whoever has an address may speak against sharing it, though its own turn comes later.
    for (const service of set) this.#services.set(service.key, service);
    // Those who have an address already choose first, or a newcomer could be given what is theirs.
    const known = (service: ServiceManifest) => (this.#before(service).length > 0 ? 0 : 1);
    const ordered = [...set].sort((a, b) => known(a) - known(b) || compareServices(a, b));
    for (const service of ordered) this.#set(service, touched);
    this.#retry(touched);
    return touched;
  }

  /** Other pools, from the next change on: until a Service is applied again it keeps what it has. */
  usePools(pools: readonly Pool[]): void {
    this.#pools = pools;
    this.#free.usePools(pools);
  }

  /** What would become of a Service if it were applied now. Changes nothing. */
  outcomeOf(service: ServiceManifest): Outcome {
    if (service.refusal !== null) return { refusal: service.refusal };
    return this.#assign(service, this.#before(service));
  }

  #before({ key, recorded }: ServiceManifest): readonly Address[] {
    return this.#assigned.get(key) ?? this.#former.get(key) ?? recorded ?? nothing;
  }

  #remove(key: ServiceKey, touched: Set<Address>): void {
    this.#release(key, this.#assigned.get(key) ?? nothing, touched);
    this.#free.share(key, null, nothing);
    this.#services.delete(key);
    this.#assigned.delete(key);
    this.#former.delete(key);
    this.#refusals.delete(key);
  }

  #set(service: ServiceManifest, touched: Set<Address>): void {
    const { key } = service;
    const before = this.#before(service);
    const outcome = this.outcomeOf(service);
    if ('refusal' in outcome) {
      this.#refusals.set(key, outcome.refusal);
      this.#release(key, before, touched);
      this.#free.share(key, null, nothing);
      this.#assigned.delete(key);
      if (before.length > 0) this.#former.set(key, before);
      return;
    }
    this.#refusals.delete(key);
    this.#former.delete(key);
    const kept = outcome.addresses;
    this.#release(
      key,
      before.filter((address) => !kept.includes(address)),
      touched,
    );
    this.#assigned.set(key, kept);
    for (const address of kept) {
      touched.add(address);
      this.#users.add(address, key);
    }
    this.#free.share(key, service.sharingKey, kept);
  }

  #release(key: ServiceKey, addresses: readonly Address[], touched: Set<Address>): void {
    for (const address of addresses) {
      if (!this.#users.remove(address, key)) continue;
      touched.add(address);
      if (!this.#users.has(address)) this.#free.release(address);
    }
  }

  /** Services that found no address ask again after one came free or is shared, the first come first. */
  #retry(touched: Set<Address>): void {
    if (!this.#free.takeBetter()) return;
    const waiting: ServiceManifest[] = [];
    for (const [key, { reason }] of this.#refusals) {
      const service = this.#services.get(key);
      const waits = reason === RefusalReason.PoolExhausted || reason === RefusalReason.AddressTaken;
      if (waits && service !== undefined) waiting.push(service);
    }
    for (const service of waiting.sort(compareServices)) this.#set(service, touched);
  }

  #assign(service: ServiceManifest, before: readonly Address[]): Outcome {
    const pools =
      service.pool === null ? this.#pools : this.#pools.filter(({ name }) => name === service.pool);
    if (pools.length === 0) return { refusal: whyNoPool(service, this.#pools) };
    for (const address of service.addresses) {
      const refusal = this.#whyNot(service, address, pools);
      if (refusal !== null) return { refusal };
    }
    const { required, optional } = wantedFamilies(service, this.#free);
    const foreign = service.addresses.find(
      (address) => !required.includes(familyOf(address)) && !optional.includes(familyOf(address)),
    );
    if (foreign !== undefined) {
      const message = `${foreign} is of a family that spec.ipFamilies does not name`;
      return { refusal: { reason: RefusalReason.NotSupported, message } };
    }
    const addresses = [...service.addresses];
    for (const family of [...required, ...optional]) {
      if (addresses.some((address) => familyOf(address) === family)) continue;
      const found = this.#find({ service, family, pools, before });
      if (found !== undefined) addresses.push(found);
      else if (required.includes(family)) return exhausted(family, pools);
    }
    return { addresses };
  }

  /** Why a Service may not have the address it asks for, or null. */
  #whyNot(service: ServiceManifest, address: Address, pools: readonly Pool[]): ServiceRefusal | null {
    const refusal = whyNoVip(address, pools);
    if (refusal !== null) return refusal;
    const holder = this.#objector(service, address);
    if (holder === null) return null;
    const message = `${address} belongs to ${holder.key}: give both one vipward.io/sharing-key`;
    return { reason: RefusalReason.AddressTaken, message };
  }

  /**
   * The first Service on the address that has not agreed to share it with this one: neither one namespace nor
   * one key.
   */
  #objector(service: ServiceManifest, address: Address): ServiceManifest | null {
    const others = this.usersOf(address).filter(({ key }) => key !== service.key);
    if (others.every(({ namespace }) => namespace === service.namespace)) return null;
    if (service.sharingKey !== null && others.every(({ sharingKey }) => sharingKey === service.sharingKey))
      return null;
    return others[0] ?? null;
  }

  #find({ service, family, pools, before }: Search): Address | undefined {
    const fits = (address: Address) => {
      return familyOf(address) === family && poolOf(pools, address) !== undefined;
    };
    const own = before.find((address) => fits(address) && this.#objector(service, address) === null);
    if (own !== undefined) return own;
    const shared = this.#free.sharedBy(service.sharingKey).find((address) => {
      return (
        fits(address) &&
        this.isUsed(address) &&
        this.#objector(service, address) === null &&
        !this.usersOf(address).some((other) => other.key !== service.key && haveOnePort(other, service))
      );
    });
    return shared ?? this.#free.find(family, pools, (address) => this.#users.has(address));
  }
}

interface Search {
  readonly service: ServiceManifest;
  readonly family: Family;
  readonly pools: readonly Pool[];
  readonly before: readonly Address[];
}
