// Which Services are on each address, whether they were read or come from the records.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';

export class Users {
  /** Rises with each Service that comes to an address or leaves it. */
  changes = 0;
  /** Nearly every address has one Service: a Set for each would take most of the memory. */
  readonly #users = new Map<Address, ServiceKey | Set<ServiceKey>>();

  add(address: Address, key: ServiceKey): void {
    if (this.isOn(address, key)) return;
    this.changes++;
    const users = this.#users.get(address);
    if (users === undefined) this.#users.set(address, key);
    else if (typeof users !== 'string') users.add(key);
    else this.#users.set(address, new Set([users, key]));
  }

  /** False if the Service was not on the address. */
  remove(address: Address, key: ServiceKey): boolean {
    if (!this.isOn(address, key)) return false;
    this.changes++;
    const users = this.#users.get(address);
    if (typeof users !== 'string') users?.delete(key);
    if (typeof users === 'string' || users?.size === 0) this.#users.delete(address);
    return true;
  }

  has(address: Address): boolean {
    return this.#users.has(address);
  }

  isOn(address: Address, key: ServiceKey): boolean {
    const users = this.#users.get(address);
    return users === key || (users !== undefined && typeof users !== 'string' && users.has(key));
  }

  /** True if no other Service is on the address. This is cheap, and nearly always true. */
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
