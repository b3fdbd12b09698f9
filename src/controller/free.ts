// What is free in the pools, and what is shared under a key: the memory that makes allocate.ts cheap.

import type { Address, Family } from '../state/address.ts';
import { Cursor, type Pool } from './pools.ts';

export class Free {
  #cursors: ReadonlyMap<string, readonly Cursor[]>;
  readonly #shared = new Map<string, Set<Address>>();
  #released = false;

  constructor(pools: readonly Pool[]) {
    this.#cursors = cursorsOf(pools);
  }

  /** Other pools: what is shared stays shared. */
  usePools(pools: readonly Pool[]): void {
    this.#cursors = cursorsOf(pools);
  }

  has(family: Family): boolean {
    return this.#cursors.values().some((cursors) => cursors.some((cursor) => cursor.family === family));
  }

  find(family: Family, pools: readonly Pool[], isTaken: (address: Address) => boolean): Address | undefined {
    for (const { name } of pools) {
      for (const cursor of this.#cursors.get(name) ?? []) {
        const found = cursor.family === family ? cursor.find(isTaken) : undefined;
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  release(address: Address): void {
    this.#released = true;
    for (const cursors of this.#cursors.values()) for (const cursor of cursors) cursor.release(address);
  }

  /** True once after something was released. */
  takeReleased(): boolean {
    const released = this.#released;
    this.#released = false;
    return released;
  }

  share(key: string, address: Address): void {
    const addresses = this.#shared.get(key);
    if (addresses === undefined) this.#shared.set(key, new Set([address]));
    else addresses.add(address);
  }

  /** Addresses that were shared under the key; some may not be in use any more. */
  sharedBy(key: string | null): readonly Address[] {
    return key === null ? [] : [...(this.#shared.get(key) ?? [])];
  }
}

function cursorsOf(pools: readonly Pool[]): ReadonlyMap<string, readonly Cursor[]> {
  return new Map(pools.map(({ name, ranges }) => [name, ranges.map((range) => new Cursor(range))]));
}
