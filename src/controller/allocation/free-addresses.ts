// Which addresses of the pools are free, and which are shared under a key: an index that makes allocate.ts
// cheap.

import type { Address, Family } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { Cursor, type Pool } from './pools.ts';
import { Shared } from './shared.ts';

export class FreeAddresses {
  #cursors: ReadonlyMap<string, readonly Cursor[]>;
  #families: ReadonlySet<Family>;
  readonly #shared = new Shared();
  /** True for an address that a node may still have, which cannot be told to let it go. */
  readonly #isHeld: (address: Address) => boolean;
  #isBetter = false;

  constructor(pools: readonly Pool[], isHeld: (address: Address) => boolean) {
    this.#isHeld = isHeld;
    this.#cursors = cursorsOf(pools);
    this.#families = familiesOf(pools);
  }

  /** Other pools: what is shared stays shared. */
  usePools(pools: readonly Pool[]): void {
    this.#cursors = cursorsOf(pools);
    this.#families = familiesOf(pools);
  }

  has(family: Family): boolean {
    return this.#families.has(family);
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

  /** A Service has these addresses, and shares them under its key if it has one. */
  share(service: ServiceKey, key: string | null, addresses: readonly Address[]): void {
    if (this.#shared.put(service, key, addresses)) this.#isBetter = true;
  }

  /** Addresses that are shared under the key. */
  sharedBy(key: string | null): readonly Address[] {
    return this.#shared.under(key);
  }
}

function familiesOf(pools: readonly Pool[]): ReadonlySet<Family> {
  return new Set(pools.flatMap(({ ranges }) => ranges.map(({ family }) => family)));
}

function cursorsOf(pools: readonly Pool[]): ReadonlyMap<string, readonly Cursor[]> {
  return new Map(pools.map(({ name, ranges }) => [name, ranges.map((range) => new Cursor(range))]));
}
