// What is free in the pools, and what is shared under a key: the memory that makes allocate.ts cheap.

import type { Address, Family } from '../state/address.ts';
import { Cursor, type Pool } from './pools.ts';

export class Free {
  #cursors: ReadonlyMap<string, readonly Cursor[]>;
  readonly #shared = new Map<string, Set<Address>>();
  /** True for an address that a node may still have, which cannot be told to let it go. */
  readonly #isHeld: (address: Address) => boolean;
  #isBetter = false;

  constructor(pools: readonly Pool[], isHeld: (address: Address) => boolean) {
    this.#isHeld = isHeld;
    this.#cursors = cursorsOf(pools);
  }

  /** Other pools: what is shared stays shared. */
  usePools(pools: readonly Pool[]): void {
    this.#cursors = cursorsOf(pools);
  }

  has(family: Family): boolean {
    return this.#cursors.values().some((cursors) => cursors.some((cursor) => cursor.family === family));
  }

  /** The first address that is neither taken nor held by somebody who was not told yet to let it go. */
  find(family: Family, pools: readonly Pool[], isTaken: (address: Address) => boolean): Address | undefined {
    const held: Address[] = [];
    const isGone = (address: Address): boolean => {
      if (isTaken(address)) return true;
      if (!this.#isHeld(address)) return false;
      held.push(address);
      return true;
    };
    const cursors = pools.flatMap(({ name }) => this.#cursors.get(name) ?? []);
    let found: Address | undefined;
    for (const cursor of cursors) if (cursor.family === family) found ??= cursor.find(isGone);
    // They come free without a word to us: whoever asks next looks at them again.
    for (const address of held) for (const cursor of cursors) cursor.release(address);
    return found;
  }

  release(address: Address): void {
    this.#isBetter = true;
    for (const cursors of this.#cursors.values()) for (const cursor of cursors) cursor.release(address);
  }

  /** True once after something was released, or shared under one more key. */
  takeBetter(): boolean {
    const isBetter = this.#isBetter;
    this.#isBetter = false;
    return isBetter;
  }

  share(key: string, address: Address): void {
    const addresses = this.#shared.get(key) ?? new Set();
    if (addresses.has(address)) return;
    this.#isBetter = true;
    this.#shared.set(key, addresses.add(address));
  }

  /** Addresses that were shared under the key; some may not be in use any more. */
  sharedBy(key: string | null): readonly Address[] {
    return key === null ? [] : [...(this.#shared.get(key) ?? [])];
  }
}

function cursorsOf(pools: readonly Pool[]): ReadonlyMap<string, readonly Cursor[]> {
  return new Map(pools.map(({ name, ranges }) => [name, ranges.map((range) => new Cursor(range))]));
}
