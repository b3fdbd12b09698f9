// Decided placements that were not published yet, gathered by node, so that many fit in a few frames.

import type { Address } from '../../state/address.ts';
import type { Placement } from '../../state/virtual-ip.ts';
import type { Node } from './node.ts';
import type { Nodes } from './nodes.ts';

interface Pending {
  readonly set: Map<Address, Placement>;
  readonly remove: Set<Address>;
  readonly again: Set<Address>;
}

export class Outbox {
  readonly #pending = new Map<Node, Pending>();

  set(node: Node, placement: Placement): void {
    const pending = this.#of(node);
    pending.remove.delete(placement.address);
    pending.set.set(placement.address, placement);
  }

  /** Repeats a placement: its node announces the VIP again, or falls silent if the VIP is to move. */
  repeat(node: Node, address: Address): void {
    const placement = node.placements.get(address);
    const pending = this.#of(node);
    if (placement === undefined || pending.set.has(address) || pending.remove.has(address)) return;
    pending.set.set(address, placement);
    pending.again.add(address);
  }

  /** True if the node had been told of the VIP. */
  remove(node: Node, address: Address): boolean {
    if (this.#pending.get(node)?.set.has(address) !== true && node.placements.get(address) === undefined)
      return false;
    const pending = this.#of(node);
    pending.set.delete(address);
    pending.remove.add(address);
    return true;
  }

  /** Removes a VIP from all nodes. Returns the connected ones that have to let go of it. */
  removeFromAll(nodes: Nodes, address: Address): readonly Node[] {
    const holders: Node[] = [];
    for (const node of nodes.all()) {
      const wasTold = this.remove(node, address);
      if (node.isConnected && (wasTold || node.held.has(address))) holders.push(node);
    }
    return holders;
  }

  /** Changes the tables of the nodes, and tells the connected ones. */
  flush(): void {
    if (this.#pending.size === 0) return;
    for (const [node, { set, remove, again }] of this.#pending)
      node.tell({ set: [...set.values()], remove: [...remove], again });
    this.#pending.clear();
  }

  #of(node: Node): Pending {
    const known = this.#pending.get(node);
    if (known !== undefined) return known;
    const remove = new Set<Address>();
    const pending = { set: new Map<Address, Placement>(), remove, again: new Set<Address>() };
    this.#pending.set(node, pending);
    return pending;
  }
}
