// Tracks arriving VIPs, from the write to the kernel to the first announcement; a VIP counts as usable only
// after that. The kernel's ack is not enough for an IPv6 address: it is usable at its RTM_NEWADDR event.

import type { AddressObject } from '../../dialects/addresses/objects.ts';
import { type Address, familyOf } from '../../state/address.ts';
import type { HeldAddress } from '../../state/desired-state.ts';

/** An acknowledged address without an RTM_NEWADDR event counts as usable after this. */
const usableWithinMs = 1000;

interface Arrival {
  readonly object: AddressObject;
  /** Arrivals are numbered from 1 in the order in which they begin. */
  readonly number: number;
  /** The VIP is also on another interface until it has arrived here. */
  readonly isMoving: boolean;
  /** The kernel has acknowledged the address. */
  isTaken: boolean;
  isUsable: boolean;
  timer: NodeJS.Timeout | undefined;
}

export class Arrivals implements Disposable {
  readonly #onUsable: (object: AddressObject) => void;
  /** Unfinished arrivals, oldest first. */
  readonly #coming = new Map<Address, Arrival>();
  /** How many arrivals have begun since the start of the agent. */
  begun = 0;

  /** `onUsable` is called with an address that becomes usable by an event or timeout, to announce it now. */
  constructor(onUsable: (object: AddressObject) => void) {
    this.#onUsable = onUsable;
  }

  /** Number of the last arrival before the oldest unfinished one: all arrivals up to it are over. */
  get over(): number {
    for (const { number } of this.#coming.values()) return number - 1;
    return this.begun;
  }

  /** Whether a VIP is arriving and is on no other interface meanwhile. */
  isAbsent(address: Address): boolean {
    return this.#coming.get(address)?.isMoving === false;
  }

  /** Call before the address is sent to the kernel, since its event may come before the ack. */
  expect(object: AddressObject, isHeld: boolean): void {
    const { address } = object;
    const isMoving = isHeld && !this.isAbsent(address);
    this.#end(address);
    this.#coming.set(address, {
      object,
      number: ++this.begun,
      isMoving,
      isTaken: false,
      isUsable: familyOf(address) === 4,
      timer: undefined,
    });
  }

  /** The kernel has added the address, or had it already. Returns whether to announce it now. */
  taken(object: AddressObject, wasThere = false): boolean {
    const arrival = this.#of(object);
    if (arrival === undefined || arrival.isTaken) return false;
    arrival.isTaken = true;
    arrival.isUsable ||= wasThere;
    if (!arrival.isUsable) arrival.timer = setTimeout(() => this.usable(object), usableWithinMs);
    return arrival.isUsable;
  }

  /** The address has become usable. Ignored if the address was not expected. */
  usable(object: AddressObject): void {
    const arrival = this.#of(object);
    if (arrival === undefined || arrival.isUsable) return;
    clearTimeout(arrival.timer);
    arrival.isUsable = true;
    if (arrival.isTaken) this.#onUsable(object);
  }

  /** These VIPs have been announced. Returns those whose arrival is over with that. */
  said(all: readonly HeldAddress[]): Address[] {
    const arrived = all.filter(({ address, interfaceIndex }) => {
      const { object, isTaken, isUsable } = this.#coming.get(address) ?? {};
      return isTaken === true && isUsable === true && object?.interfaceIndex === interfaceIndex;
    });
    for (const { address } of arrived) this.#end(address);
    return arrived.map(({ address }) => address);
  }

  /**
   * Call after a dump: ends the arrivals of addresses that are not held. Returns usable addresses that are
   * held although the kernel never acknowledged them, to announce them now.
   */
  review(isHeldAt: (object: AddressObject) => boolean): AddressObject[] {
    const all = [...this.#coming.values()].map(({ object }) => object);
    for (const object of all) if (!isHeldAt(object)) this.#end(object.address);
    return all.filter((object) => this.taken(object));
  }

  forget(object: AddressObject): void {
    if (this.#of(object) !== undefined) this.#end(object.address);
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#coming.values()) clearTimeout(timer);
  }

  #end(address: Address): void {
    clearTimeout(this.#coming.get(address)?.timer);
    this.#coming.delete(address);
  }

  #of({ address, id }: AddressObject): Arrival | undefined {
    const arrival = this.#coming.get(address);
    return arrival?.object.id === id ? arrival : undefined;
  }
}
