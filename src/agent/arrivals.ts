// IPv6 addresses on their way: one is no address of the node yet when the kernel has acknowledged it, only at
// its RTM_NEWADDR event.

import type { Address } from '../state/address.ts';
import type { HeldAddress } from '../state/desired-state.ts';

/** An address that is not heard to be usable by then is taken to be. */
const usableWithinMs = 1000;

export class Arrivals implements Disposable {
  readonly #onUsable: (held: HeldAddress) => void;
  /** VIPs on their way that are nowhere else meanwhile. */
  readonly #absent = new Set<Address>();
  readonly #coming = new Map<string, { readonly held: HeldAddress; readonly timer: NodeJS.Timeout }>();

  constructor(onUsable: (held: HeldAddress) => void) {
    this.#onUsable = onUsable;
  }

  /** None is on its way. */
  get areOver(): boolean {
    return this.#coming.size === 0;
  }

  has(id: string): boolean {
    return this.#coming.has(id);
  }

  isAbsent(address: Address): boolean {
    return this.#absent.has(address);
  }

  /** `isMoving`: the VIP is held at another place too, until it has arrived. */
  expect(id: string, held: HeldAddress, isMoving: boolean): void {
    if (!isMoving) this.#absent.add(held.address);
    const timer = setTimeout(() => this.arrived(id), usableWithinMs);
    this.#coming.set(id, { held, timer });
  }

  /** Of an address that was not expected nothing is said. */
  arrived(id: string): void {
    const coming = this.#coming.get(id);
    this.forget(id);
    if (coming !== undefined) this.#onUsable(coming.held);
  }

  forget(id: string): void {
    const coming = this.#coming.get(id);
    if (coming === undefined) return;
    clearTimeout(coming.timer);
    this.#absent.delete(coming.held.address);
    this.#coming.delete(id);
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#coming.values()) clearTimeout(timer);
  }
}
