// Gives Services their VIPs. Pure: no clock, no machine. A change costs only the Services it names.

import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import { assign, type Ground, objector } from './allocation/assign.ts';
import type { Outcome } from './allocation/families.ts';
import { FreeAddresses } from './allocation/free-addresses.ts';
import { Outgoing } from './allocation/outgoing.ts';
import type { Pool } from './allocation/pools.ts';
import { Users } from './allocation/users.ts';
import { Waiting } from './allocation/waiting.ts';
import {
  type AllocationChanges,
  compareServices,
  type ServiceManifest,
  type ServiceRefusal,
} from './service.ts';

/** The addresses that each Service has, or had. */
export type Allocations = ReadonlyMap<ServiceKey, readonly Address[]>;

const nothing: readonly Address[] = [];
const none: Allocations = new Map();
const always = (_: ServiceManifest): boolean => true;
/** Services applied in one step: a few milliseconds. */
const stepServices = 200;

/** Keeps the allocation as Services come, change and go. store.ts writes it to the records. */
export class Allocator {
  readonly services: ReadonlyMap<ServiceKey, ServiceManifest>;
  readonly refusals: ReadonlyMap<ServiceKey, ServiceRefusal>;
  /** Addresses that Services had before they asked for others: theirs until letGo() is called. */
  readonly outgoing: Allocations;
  /** True for an address that an unreachable node may still have. */
  isHeld: (address: Address) => boolean = () => false;
  /** True for an address that a node has answered for. */
  wasServed: (address: Address) => boolean = () => true;
  readonly #services = new Map<ServiceKey, ServiceManifest>();
  readonly #assigned: Map<ServiceKey, readonly Address[]>;
  readonly #former: Map<ServiceKey, readonly Address[]>;
  readonly #outgoing = new Outgoing();
  readonly users: Users = new Users();
  readonly #waiting: Waiting;
  readonly #free: FreeAddresses;
  readonly #ground: Ground;

  /** `remembered` and `former` are from an earlier run: a Service that comes back gets its own addresses. */
  constructor(pools: readonly Pool[], remembered: Allocations, former: Allocations = new Map()) {
    this.services = this.#services;
    this.outgoing = this.#outgoing.all;
    this.#assigned = new Map(remembered);
    this.#former = new Map(former);
    this.#free = new FreeAddresses(pools, (address) => this.isHeld(address));
    this.#ground = { pools, users: this.users, free: this.#free, usersOf: (one) => this.usersOf(one) };
    this.#waiting = new Waiting(this.#ground);
    this.refusals = this.#waiting.refusals;
    // A remembered address is taken before its Service is read, so that no other Service gets it meanwhile.
    for (const [key, addresses] of remembered) for (const address of addresses) this.users.add(address, key);
  }

  /** The addresses of each Service; those of the last run for a Service that was not read yet. */
  get assigned(): Allocations {
    return this.#assigned;
  }

  /** Addresses of refused Services. A Service that is refused no more gets them back if they are free. */
  get former(): Allocations {
    return this.#former;
  }

  /** All addresses that Services have, outgoing ones included, for the records. */
  get held(): Allocations {
    if (this.outgoing.size === 0) return this.#assigned;
    const more = this.outgoing.keys().map((key) => [key, this.heldBy(key)] as const);
    return new Map([...this.#assigned, ...more]);
  }

  /** The addresses of a Service, outgoing ones included. */
  heldBy(key: ServiceKey): readonly Address[] {
    return [...(this.#assigned.get(key) ?? nothing), ...this.#outgoing.of(key)];
  }

  /** Returns the Services refused since the last call: no touched address names them. */
  takeRefused(): ReadonlySet<ServiceKey> {
    return this.#waiting.takeRefused();
  }

  addressesOf(key: ServiceKey): readonly Address[] {
    return this.#services.has(key) ? (this.#assigned.get(key) ?? nothing) : nothing;
  }

  /** The Services on an address, oldest first. */
  usersOf(address: Address): readonly ServiceManifest[] {
    const users = [...this.users.of(address)].flatMap((key) => this.#services.get(key) ?? []);
    if (users.length < 2) return users;
    // A Service that is leaving takes nothing from those that stay.
    const leaves = ({ key }: ServiceManifest) => Number(this.outgoing.get(key)?.includes(address) === true);
    return users.sort((a, b) => leaves(a) - leaves(b) || compareServices(a, b));
  }

  isUsed(address: Address): boolean {
    return this.users.has(address);
  }

  /** The addresses that Services have, for the metrics. */
  taken(): IterableIterator<Address> {
    return this.users.addresses();
  }

  /** Applies a change and returns every address whose VIP may have changed, in use or not. */
  apply(changes: AllocationChanges): ReadonlySet<Address> {
    const steps = this.applying(changes);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    return step.value;
  }

  /** apply() in steps: nothing else may be applied before the last step. */
  *applying({ set, remove, gone = none }: AllocationChanges): Generator<void, ReadonlySet<Address>> {
    const touched = new Set<Address>();
    for (const [key, addresses] of gone) {
      this.#outgoing.drop(key, addresses);
      this.#release(key, addresses, touched);
      for (const address of this.addressesOf(key)) touched.add(address);
    }
    for (const key of remove) this.#remove(key, touched);
    for (const service of set) {
      const known = this.#services.get(service.key);
      if (this.#assigned.has(service.key)) this.#outgoing.asked(known, service);
      if (known !== undefined) this.#waiting.changed(known, service, this.heldBy(service.key));
      // A Service may object to sharing its address before its own turn comes.
      this.#services.set(service.key, service);
    }
    yield;
    // Services with addresses choose first: a new Service could otherwise be given theirs.
    const [known, fresh]: [ServiceManifest[], ServiceManifest[]] = [[], []];
    for (const service of set) (this.#before(service).length > 0 ? known : fresh).push(service);
    yield;
    for (const list of [known, fresh]) yield* this.#setAll(list, touched);
    for (;;) {
      const keys = this.#waiting.all(this.#free.takeReleased());
      const asking = [...keys].flatMap((key) => this.#services.get(key) ?? []);
      if (asking.length === 0) return touched;
      yield* this.#setAll(asking, touched, this.#gains);
    }
  }

  /** A node that had these is not away any more. True if any is free: the next change offers it. */
  freed(addresses: readonly Address[]): boolean {
    const free = addresses.filter((address) => !this.isUsed(address));
    for (const address of free) this.#free.release(address);
    return free.length > 0;
  }

  /** How many Services a change concerns: those that it names, and those that ask for what comes free. */
  extentOf({ set, remove, gone = none }: AllocationChanges): number {
    const keys = [...set.map(({ key }) => key), ...remove, ...gone.keys()];
    const addresses = new Set(keys.flatMap((key) => this.heldBy(key)));
    const isAnyLeft = this.#free.isAnyReleased || (remove.length + gone.size > 0 && addresses.size > 0);
    return keys.length + this.#waiting.extentOf(addresses, isAnyLeft);
  }

  /** Uses these pools from the next change on. A Service keeps its addresses until it is applied again. */
  usePools(pools: readonly Pool[]): void {
    this.#ground.pools = pools;
    this.#free.usePools(pools);
  }

  /** The outcome if the Service were applied now. Changes nothing. */
  outcomeOf(service: ServiceManifest): Outcome {
    if (service.refusal !== null) return { refusal: service.refusal };
    return assign(service, this.#before(service), this.#ground);
  }

  /** True if the Service has exactly these addresses. */
  hasExactly(key: ServiceKey, addresses: readonly Address[]): boolean {
    return `${this.addressesOf(key)}` === `${addresses}`;
  }

  #before({ key, recorded }: ServiceManifest): readonly Address[] {
    // Clients reach the Service by its outgoing addresses: it gets those back if it may.
    const outgoing = this.#outgoing.of(key);
    const assigned = this.#assigned.get(key) ?? this.#former.get(key) ?? recorded ?? nothing;
    return outgoing.length === 0 || assigned.every(this.wasServed) ? assigned : [...outgoing, ...assigned];
  }

  #remove(key: ServiceKey, touched: Set<Address>): void {
    this.#release(key, this.heldBy(key), touched);
    this.#outgoing.forget(key);
    this.#free.share(key, null, nothing);
    this.#services.delete(key);
    this.#assigned.delete(key);
    this.#former.delete(key);
    this.#waiting.forget(key);
  }

  #set(service: ServiceManifest, touched: Set<Address>): void {
    const { key } = service;
    const before = this.#before(service);
    const outcome = this.outcomeOf(service);
    if ('refusal' in outcome) {
      this.#waiting.refused(service, outcome, before);
      this.#release(key, this.heldBy(key), touched);
      this.#outgoing.forget(key);
      this.#free.share(key, null, nothing);
      this.#assigned.delete(key);
      if (before.length > 0) this.#former.set(key, before);
      return;
    }
    this.#former.delete(key);
    const kept = outcome.addresses;
    this.#waiting.given(service, kept);
    const mayStay = (address: Address) =>
      this.wasServed(address) && objector(service, address, this.#ground) === null;
    const { stay, go } = this.#outgoing.settle(key, { had: this.heldBy(key), kept, mayStay });
    for (const address of stay) touched.add(address);
    this.#release(key, go, touched);
    this.#assigned.set(key, kept);
    for (const address of kept) {
      touched.add(address);
      this.users.add(address, key);
    }
    this.#free.share(key, service.sharingKey, kept);
  }

  #release(key: ServiceKey, addresses: readonly Address[], touched: Set<Address>): void {
    this.#waiting.loosen(addresses);
    for (const address of addresses) {
      if (!this.users.remove(address, key)) continue;
      touched.add(address);
      if (!this.users.has(address)) this.#free.release(address);
    }
  }

  /** Oldest first. */
  *#setAll(services: ServiceManifest[], touched: Set<Address>, isDue = always): Generator<void, void> {
    for (const [index, service] of services.sort(compareServices).entries()) {
      if (isDue(service)) this.#set(service, touched);
      if ((index + 1) % stepServices === 0) yield;
    }
  }

  /** False for a Service that has addresses and would get the same ones again. */
  readonly #gains = (service: ServiceManifest): boolean => {
    if (!this.#waiting.mayGain(service.key)) return false;
    if (this.refusals.has(service.key)) return true;
    const outcome = this.outcomeOf(service);
    return 'refusal' in outcome || !this.hasExactly(service.key, outcome.addresses);
  };
}
