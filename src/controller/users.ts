// Which Services are on which address, read or only remembered: what allocate.ts asks before it gives one.

import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';

export class Users {
  readonly #users = new Map<Address, Set<ServiceKey>>();

  add(address: Address, key: ServiceKey): void {
    const users = this.#users.get(address);
    if (users === undefined) this.#users.set(address, new Set([key]));
    else users.add(key);
  }

  /** False if the Service was not on the address. */
  remove(address: Address, key: ServiceKey): boolean {
    const users = this.#users.get(address);
    if (users?.delete(key) !== true) return false;
    if (users.size === 0) this.#users.delete(address);
    return true;
  }

  has(address: Address): boolean {
    return this.#users.has(address);
  }

  /** True if no other Service is on the address: the answer nearly always, and a cheap one. */
  hasNoneBut(address: Address, key: ServiceKey): boolean {
    const users = this.#users.get(address);
    return users === undefined || (users.size === 1 && users.has(key));
  }

  of(address: Address): Iterable<ServiceKey> {
    return this.#users.get(address) ?? [];
  }

  addresses(): IterableIterator<Address> {
    return this.#users.keys();
  }
}
