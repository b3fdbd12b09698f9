// The nodes that may be given a VIP, with their load. It is asked for every VIP that finds no owner, of every
// node: what nodes have in common is looked at once.

import { type Address, addressBytes } from '../state/address.ts';
import type { Node, Nodes } from './nodes.ts';
import type { Candidate } from './place.ts';

export class Candidates {
  readonly #nodes: Nodes;
  /** VIPs that a node has, or was chosen for. */
  readonly #loads = new Map<string, number>();

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
  }

  count(name: string, by: 1 | -1): void {
    this.#loads.set(name, (this.#loads.get(name) ?? 0) + by);
  }

  /** The connected nodes that may have the VIP; none, if it belongs to one of them. */
  for(address: Address, except: string | null = null): readonly Candidate[] {
    if (this.#nodes.objector(address) !== undefined) return [];
    const isReached = this.#reachOf(address);
    const bar = this.#nodes.bar(address);
    const candidates: Candidate[] = [];
    for (const node of this.#nodes.connected()) {
      const { name } = node;
      if (name === except || !node.isOpenTo(address) || !isReached(node) || bar(name) !== null) continue;
      candidates.push({ name, load: this.#loads.get(name) ?? 0 });
    }
    return candidates;
  }

  /** Most nodes have the same links and the same --allow as others. */
  #reachOf(address: Address): (node: Node) => boolean {
    const bytes = addressBytes(address);
    const known = new Map<string, boolean>();
    return (node) => {
      const { range } = node;
      const before = known.get(range);
      if (before !== undefined) return before;
      const reaches = node.reaches(bytes);
      known.set(range, reaches);
      return reaches;
    };
  }
}
