// VIPs that nobody has yet, and the node that was chosen for each, which has its rules to commit first.

import type { Address } from '../state/address.ts';
import type { Node } from './nodes.ts';

/** After so many seconds without an acknowledgement a node is late. */
export const lateAfterTicks = 10;

export class Choices {
  /** Null where no node is eligible. */
  readonly #chosen = new Map<Address, Node | null>();
  readonly #on = new Map<Node, Set<Address>>();
  /** How often each node was found waited for since it last committed something. */
  readonly #ticks = new Map<Node, number>();

  set(address: Address, node: Node | null): void {
    this.#chosen.set(address, node);
    if (node !== null) this.#on.set(node, (this.#on.get(node) ?? new Set()).add(address));
  }

  /** Returns the node that had been chosen, if any. */
  delete(address: Address): Node | null {
    const node = this.#chosen.get(address) ?? null;
    this.#chosen.delete(address);
    if (node !== null) this.#on.get(node)?.delete(address);
    return node;
  }

  /**
   * Another second has passed, by the count of this process, so that one that was stopped blames nobody.
   * Returns the nodes that are late by it.
   */
  tick(): Node[] {
    for (const [node, addresses] of this.#on)
      if (addresses.size === 0) this.#ticks.delete(node);
      else this.#ticks.set(node, (this.#ticks.get(node) ?? 0) + 1);
    return [...this.#ticks].filter(([, ticks]) => ticks === lateAfterTicks).map(([node]) => node);
  }

  /** The node has committed something. */
  progressed(node: Node): void {
    this.#ticks.delete(node);
  }

  /** The node chosen for a VIP, null if none was; undefined if it needs none. */
  get(address: Address): Node | null | undefined {
    return this.#chosen.get(address);
  }

  /** The VIPs that wait for one node, as they are now. */
  on(node: Node): readonly Address[] {
    return [...(this.#on.get(node) ?? [])];
  }

  /** All of them, as they are now: choosing again puts a VIP at the end. */
  all(): readonly Address[] {
    return [...this.#chosen.keys()];
  }
}
