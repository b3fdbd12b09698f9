// What the controller that rules was told of the VIPs that this node holds: all of them once on its stream,
// and then what changed.

import { type Held, type HeldDelta, type HeldVip, heldDeltaFeature } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import { compareTerms, type Term } from '../../state/term.ts';

export interface ToldParts {
  /** All VIPs that the node holds now. */
  readonly held: () => readonly HeldVip[];
  /** The term by which it holds one, undefined if it does not. */
  readonly termOf: (address: Address) => Term | undefined;
}

export class Told {
  readonly #parts: ToldParts;
  /** Null until everything was told once. */
  #terms: Map<Address, Term> | null = null;
  #takesDeltas = false;
  /** Where something may have changed since. */
  readonly #doubtful = new Set<Address>();

  constructor(parts: ToldParts) {
    this.#parts = parts;
  }

  /**
   * Another stream is the ruling one, whose hello may have been said long before: what has changed since was
   * told to others, so that it is told everything.
   */
  restart(features: readonly string[]): void {
    this.#takesDeltas = features.includes(heldDeltaFeature);
    this.#terms = null;
  }

  /** Whether these are held, and by which term, may be another now. */
  doubt(addresses: Iterable<Address>): void {
    for (const address of addresses) this.#doubtful.add(address);
  }

  /** What there is to be told, if anything is; it is taken for told. Costs what is in doubt. */
  next(): Held | HeldDelta | null {
    const changed = [...this.#doubtful];
    this.#doubtful.clear();
    if (this.#terms === null) return this.#whole();
    if (changed.length === 0) return null;
    if (!this.#takesDeltas) return this.#whole();
    const set: HeldVip[] = [];
    const remove: Address[] = [];
    for (const address of changed) {
      const before = this.#terms.get(address);
      const term = this.#parts.termOf(address);
      if (term === undefined) {
        if (this.#terms.delete(address)) remove.push(address);
      } else if (before === undefined || compareTerms(before, term) !== 0) {
        this.#terms.set(address, term);
        set.push({ address, term });
      }
    }
    return set.length + remove.length === 0 ? null : { type: 'heldDelta', set, remove };
  }

  #whole(): Held {
    const vips = this.#parts.held();
    this.#terms = new Map(vips.map(({ address, term }) => [address, term]));
    return { type: 'held', vips };
  }
}
