// The addresses shared under each key by present Services. Nothing is kept for Services that are gone.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';

interface Share {
  readonly key: string;
  readonly addresses: readonly Address[];
}

export class Shared {
  readonly #shares = new Map<ServiceKey, Share>();
  /** How many Services share an address, by key and address. */
  readonly #counts = new Map<string, Map<Address, number>>();

  /** Replaces the addresses that a Service shares; a null key shares none. True if one is newly shared. */
  put(service: ServiceKey, key: string | null, addresses: readonly Address[]): boolean {
    const before = this.#shares.get(service);
    const isNew = key !== null && this.#add({ key, addresses });
    if (key === null) this.#shares.delete(service);
    else this.#shares.set(service, { key, addresses });
    // The old addresses go last: one that stays shared keeps its place.
    if (before !== undefined) this.#remove(before);
    return isNew;
  }

  /** The addresses under a key, in the order in which they were shared. */
  under(key: string | null): readonly Address[] {
    return key === null ? [] : [...(this.#counts.get(key)?.keys() ?? [])];
  }

  #add({ key, addresses }: Share): boolean {
    const counts = this.#counts.get(key) ?? new Map<Address, number>();
    let isNew = false;
    for (const address of addresses) {
      const count = counts.get(address) ?? 0;
      counts.set(address, count + 1);
      if (count === 0) isNew = true;
    }
    if (counts.size > 0) this.#counts.set(key, counts);
    return isNew;
  }

  #remove({ key, addresses }: Share): void {
    const counts = this.#counts.get(key);
    if (counts === undefined) return;
    for (const address of addresses) {
      const count = counts.get(address) ?? 0;
      if (count > 1) counts.set(address, count - 1);
      else counts.delete(address);
    }
    if (counts.size === 0) this.#counts.delete(key);
  }
}
