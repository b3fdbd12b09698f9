// VIPs that nodes were told something of, as to let go, and have not acknowledged. An ack costs as many looks
// as it ends waits, however many other VIPs wait.

import type { Address } from '../../state/address.ts';

/** The part of a node that this looks at. */
interface Told {
  readonly placements: { readonly seq: number };
  hasAcked(table: 'placements', seq: number): boolean;
}

const none: readonly Address[] = [];

export class Unacked {
  /** With the placements version that the node must acknowledge, the lowest first. */
  readonly #waiting = new WeakMap<Told, Map<Address, number>>();

  /** The node has just been told of the VIP. Returns the version that says so. */
  add(node: Told, address: Address): number {
    const { seq } = node.placements;
    const waiting = this.#waiting.get(node) ?? new Map<Address, number>();
    waiting.delete(address);
    this.#waiting.set(node, waiting.set(address, seq));
    return seq;
  }

  /** The VIPs that the node has yet to acknowledge. */
  of(node: Told): Iterable<Address> {
    return this.#waiting.get(node)?.keys() ?? none;
  }

  /** Takes out the VIPs that the node has acknowledged. It may still hold one of them. */
  take(node: Told): readonly Address[] {
    const waiting = this.#waiting.get(node);
    if (waiting === undefined || waiting.size === 0) return none;
    const acked: Address[] = [];
    for (const [address, seq] of waiting) {
      if (!node.hasAcked('placements', seq)) break;
      acked.push(address);
    }
    for (const address of acked) waiting.delete(address);
    return acked;
  }
}
