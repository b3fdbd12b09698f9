// Tells the ruling controller which VIPs this node holds: all of them once per stream, then changes.

import { type Held, type HeldDelta, type HeldVip, heldDeltaFeature } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import { compareTerms } from '../../state/term.ts';

export interface HeldUpdatesParts {
  /** All VIPs that the node holds now. */
  readonly held: () => readonly HeldVip[];
  /** How the node holds an address; undefined if it does not. */
  readonly of: (address: Address) => HeldVip | undefined;
}

export class HeldUpdates {
  readonly #parts: HeldUpdatesParts;
  /** The VIPs as they were last sent; null until all were sent once. */
  #told: Map<Address, HeldVip> | null = null;
  #takesDeltas = false;
  /** VIPs that may have changed since the last message. */
  readonly #doubtful = new Set<Address>();

  constructor(parts: HeldUpdatesParts) {
    this.#parts = parts;
  }

  /** Another stream rules. Changes since its hello went to other streams, so the next message is whole. */
  restart(features: readonly string[]): void {
    this.#takesDeltas = features.includes(heldDeltaFeature);
    this.#told = null;
  }

  /** The node may hold these addresses no more, by another term, or on a link with another state. */
  doubt(addresses: Iterable<Address>): void {
    for (const address of addresses) this.#doubtful.add(address);
  }

  /**
   * The next message, which counts as sent; null if nothing changed. Compares only the addresses in doubt.
   */
  next(): Held | HeldDelta | null {
    const changed = [...this.#doubtful];
    this.#doubtful.clear();
    if (this.#told === null) return this.#whole();
    if (changed.length === 0) return null;
    if (!this.#takesDeltas) return this.#whole();
    const set: HeldVip[] = [];
    const remove: Address[] = [];
    for (const address of changed) {
      const before = this.#told.get(address);
      const now = this.#parts.of(address);
      if (now === undefined) {
        if (this.#told.delete(address)) remove.push(address);
      } else if (before === undefined || !isSame(before, now)) {
        this.#told.set(address, now);
        set.push(now);
      }
    }
    return set.length + remove.length === 0 ? null : { type: 'heldDelta', set, remove };
  }

  #whole(): Held {
    const vips = this.#parts.held();
    this.#told = new Map(vips.map((vip) => [vip.address, vip]));
    return { type: 'held', vips };
  }
}

function isSame(one: HeldVip, other: HeldVip): boolean {
  return one.down === other.down && compareTerms(one.term, other.term) === 0;
}
