// Where VIPs may lie on this node, as --allow says now: asked by whoever takes something in.

import { type Address, type Prefix, prefixesContain } from '../../state/address.ts';

/** As many prefixes are named where somebody is told of them all. */
const named = 5;

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

  /** The prefixes for a message: the first of them, and how many more there are. */
  get words(): string {
    const words = this.#prefixes.slice(0, named).join(',');
    const more = this.#prefixes.length - named;
    return more > 0 ? `${words} and ${more} more` : words;
  }

  contains(address: Address): boolean {
    return this.#contains(address);
  }
}
