// The prefixes of --allow, in which the VIPs of this node must lie. A config reload may replace them.

import { type Address, type Prefix, prefixesContain } from '../../state/address.ts';

/** How many prefixes a message names. */
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

  /** Applies to later calls. The caller enters the VIPs again that were admitted before. */
  set prefixes(prefixes: readonly Prefix[]) {
    this.#prefixes = prefixes;
    this.#contains = prefixesContain(prefixes);
  }

  /** The prefixes for a message: the first few, and how many more there are. */
  get words(): string {
    const words = this.#prefixes.slice(0, named).join(',');
    const more = this.#prefixes.length - named;
    return more > 0 ? `${words} and ${more} more` : words;
  }

  contains(address: Address): boolean {
    return this.#contains(address);
  }
}
