// Where VIPs may lie on this node, as --allow says now: asked by whoever takes something in.

import { type Address, type Prefix, prefixesContain } from '../state/address.ts';

export class Allowed {
  #prefixes: readonly Prefix[];
  #contains: (address: Address) => boolean;

  constructor(prefixes: readonly Prefix[]) {
    this.#prefixes = prefixes;
    this.#contains = prefixesContain(prefixes);
  }

  get prefixes(): readonly Prefix[] {
    return this.#prefixes;
  }

  /** From now on. What has been taken in already is taken in anew by whoever sets it. */
  set prefixes(prefixes: readonly Prefix[]) {
    this.#prefixes = prefixes;
    this.#contains = prefixesContain(prefixes);
  }

  contains(address: Address): boolean {
    return this.#contains(address);
  }
}
