// An index of the free addresses of the pools, and of the addresses shared under a key. It makes allocate.ts
// cheap.

import type { Address, Family } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import { Cursor, type Pool } from './pools.ts';
import { Shared } from './shared.ts';

export class FreeAddresses {
  #cursors: ReadonlyMap<string, readonly Cursor[]>;
  #families: ReadonlySet<Family>;
  readonly #shared = new Shared();
  /** True for an address that an unreachable node may still have. */
  readonly #isHeld: (address: Address) => boolean;
  /** Addresses released since the last call of takeReleased(); null if none was, or newly shared. */
  #released: Set<Address> | null = null;

  constructor(pools: readonly Pool[], isHeld: (address: Address) => boolean) {
    this.#isHeld = isHeld;
    this.#cursors = cursorsOf(pools);
    this.#families = familiesOf(pools);
  }

  /** Uses these pools; shared addresses stay shared. */
  usePools(pools: readonly Pool[]): void {
    this.#cursors = cursorsOf(pools);
    this.#families = familiesOf(pools);
  }

  has(family: Family): boolean {
    return this.#families.has(family);
  }

  /**
   * The first address that no Service has and no unreachable node may still have. What a node may have is not
   * looked at again before release() is called for it.
   */
  find(family: Family, pools: readonly Pool[], isTaken: (address: Address) => boolean): Address | undefined {
    const isGone = (address: Address): boolean => isTaken(address) || this.#isHeld(address);
    const cursors = pools.flatMap(({ name }) => this.#cursors.get(name) ?? []);
    let found: Address | undefined;
    for (const cursor of cursors) if (cursor.family === family) found ??= cursor.find(isGone);
    return found;
  }

  release(address: Address): void {
    this.#released ??= new Set();
    this.#released.add(address);
    for (const cursors of this.#cursors.values()) for (const cursor of cursors) cursor.release(address);
  }

  /** An address was released, or newly shared, since the last call of takeReleased(). */
  get isAnyReleased(): boolean {
    return this.#released !== null;
  }

  /**
   * The addresses released since the last call, perhaps none if one was shared under another key; null if
   * neither happened.
   */
  takeReleased(): ReadonlySet<Address> | null {
    const released = this.#released;
    this.#released = null;
    return released;
  }

  /** Notes the addresses of a Service, shared under its key if it has one. */
  share(service: ServiceKey, key: string | null, addresses: readonly Address[]): void {
    if (this.#shared.put(service, key, addresses)) this.#released ??= new Set();
  }

  /** The addresses shared under the key. */
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
