// VIPs between the kernel's word and the first that others hear of them: nobody relies on one before. An IPv6
// address is no address of the node yet when the kernel has acknowledged it, only at its RTM_NEWADDR event.

import type { AddressObject } from '../../dialects/addresses/objects.ts';
import { type Address, familyOf } from '../../state/address.ts';
import type { HeldAddress } from '../../state/desired-state.ts';

/** An address that is not heard to be usable by then is taken to be. */
const usableWithinMs = 1000;

interface Arrival {
  readonly object: AddressObject;
  /** They are numbered as they begin, from 1 on. */
  readonly number: number;
  /** The VIP is held at another place too, until it has arrived. */
  readonly isMoving: boolean;
  /** The kernel has said so. */
  isTaken: boolean;
  isUsable: boolean;
  timer: NodeJS.Timeout | undefined;
}

export class Arrivals implements Disposable {
  readonly #onUsable: (object: AddressObject) => void;
  /** The oldest first. */
  readonly #coming = new Map<Address, Arrival>();
  /** How many have begun since the start. */
  begun = 0;

  /** `onUsable` is told of those that become usable by an event, or for want of one; to be announced now. */
  constructor(onUsable: (object: AddressObject) => void) {
    this.#onUsable = onUsable;
  }

  /** Of all that have begun so many are over, counted from the first. */
  get over(): number {
    for (const { number } of this.#coming.values()) return number - 1;
    return this.begun;
  }

  /** Whether a VIP is on its way, and nowhere else meanwhile. */
  isAbsent(address: Address): boolean {
    return this.#coming.get(address)?.isMoving === false;
  }

  /** The kernel is about to be told of it: the event may come before its word. */
  expect(object: AddressObject, isHeld: boolean): void {
    const { address } = object;
    const isMoving = isHeld && !this.isAbsent(address);
    this.#end(address);
    const state = { isTaken: false, isUsable: familyOf(address) === 4, timer: undefined };
    this.#coming.set(address, { object, number: ++this.begun, isMoving, ...state });
  }

  /** The kernel has taken it, or had it already. Whether it is to be announced now. */
  taken(object: AddressObject, wasThere = false): boolean {
    const arrival = this.#of(object);
    if (arrival === undefined || arrival.isTaken) return false;
    arrival.isTaken = true;
    arrival.isUsable ||= wasThere;
    if (!arrival.isUsable) arrival.timer = setTimeout(() => this.usable(object), usableWithinMs);
    return arrival.isUsable;
  }

  /** Of an address that was not expected nothing is said. */
  usable(object: AddressObject): void {
    const arrival = this.#of(object);
    if (arrival === undefined || arrival.isUsable) return;
    clearTimeout(arrival.timer);
    arrival.isUsable = true;
    if (arrival.isTaken) this.#onUsable(object);
  }

  /** Others have heard of them. Returns those that have arrived with that. */
  said(all: readonly HeldAddress[]): Address[] {
    const arrived = all.filter(({ address, interfaceIndex }) => {
      const { object, isTaken, isUsable } = this.#coming.get(address) ?? {};
      return isTaken === true && isUsable === true && object?.interfaceIndex === interfaceIndex;
    });
    for (const { address } of arrived) this.#end(address);
    return arrived.map(({ address }) => address);
  }

  /**
   * After all that the kernel has was read: what is not held there is on no way any more. Returns those that
   * are, though the kernel did not say so, to be announced now.
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
