// Tells the ruling controller which VIPs this node holds: all of them once per stream, then changes.

import { type Held, type HeldDelta, type HeldVip, heldDeltaFeature } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import { compareTerms, type Term } from '../../state/term.ts';

export interface HeldUpdatesParts {
  /** All VIPs that the node holds now. */
  readonly held: () => readonly HeldVip[];
  /** The term by which the node holds an address; undefined if it does not. */
  readonly termOf: (address: Address) => Term | undefined;
}

export class HeldUpdates {
  readonly #parts: HeldUpdatesParts;
  /** The terms last sent; null until all were sent once. */
  #terms: Map<Address, Term> | null = null;
  #takesDeltas = false;
  /** VIPs that may have changed since the last message. */
  readonly #doubtful = new Set<Address>();

  constructor(parts: HeldUpdatesParts) {
    this.#parts = parts;
  }

  /** Another stream rules. Changes since its hello went to other streams, so the next message is whole. */
  restart(features: readonly string[]): void {
    this.#takesDeltas = features.includes(heldDeltaFeature);
    this.#terms = null;
  }

  /** The node may hold these addresses no more, or by another term. */
  doubt(addresses: Iterable<Address>): void {
    for (const address of addresses) this.#doubtful.add(address);
  }

  /**
   * The next message, which counts as sent; null if nothing changed. Compares only the addresses in doubt.
   */
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
