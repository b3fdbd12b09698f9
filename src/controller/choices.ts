// VIPs that nobody has yet, and the node that was chosen for each, which has its rules to commit first.

import type { Address } from '../state/address.ts';
import type { Node } from './nodes.ts';

export class Choices {
  /** Null where no node is eligible. */
  readonly #chosen = new Map<Address, Node | null>();
  readonly #on = new Map<Node, Set<Address>>();

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
