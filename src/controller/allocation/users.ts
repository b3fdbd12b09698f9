// Which Services are on which address, read or only remembered: what allocate.ts asks before it gives one.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';

export class Users {
  /** Nearly every address has one Service: a set for each would be most of what is kept here. */
  readonly #users = new Map<Address, ServiceKey | Set<ServiceKey>>();

  add(address: Address, key: ServiceKey): void {
    const users = this.#users.get(address);
    if (users === undefined) this.#users.set(address, key);
    else if (typeof users !== 'string') users.add(key);
    else if (users !== key) this.#users.set(address, new Set([users, key]));
  }

  /** False if the Service was not on the address. */
  remove(address: Address, key: ServiceKey): boolean {
    const users = this.#users.get(address);
    if (users === key) return this.#users.delete(address);
    if (users === undefined || typeof users === 'string' || !users.delete(key)) return false;
    if (users.size === 0) this.#users.delete(address);
    return true;
  }

  has(address: Address): boolean {
    return this.#users.has(address);
  }

  isOn(address: Address, key: ServiceKey): boolean {
    const users = this.#users.get(address);
    return users === key || (users !== undefined && typeof users !== 'string' && users.has(key));
  }

  /** True if no other Service is on the address: the answer nearly always, and a cheap one. */
  hasNoneBut(address: Address, key: ServiceKey): boolean {
    const users = this.#users.get(address);
    if (users === undefined || users === key) return true;
    return typeof users !== 'string' && users.size === 1 && users.has(key);
  }

  of(address: Address): Iterable<ServiceKey> {
    const users = this.#users.get(address) ?? [];
    return typeof users === 'string' ? [users] : users;
  }

  addresses(): IterableIterator<Address> {
    return this.#users.keys();
  }
}
