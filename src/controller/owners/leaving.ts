// VIPs without Services whose nodes have not all let go. Their rules stay until then: on the way down the
// address goes before the filter.

import type { Address } from '../../state/address.ts';
import type { Node } from './node.ts';
import { Unacked } from './unacked.ts';

export class Leaving {
  readonly #dropRules: (addresses: readonly Address[]) => void;
  /** By VIP: the nodes that still have to let go, and the placements version that each must commit. */
  readonly #waiting = new Map<Address, Map<Node, number>>();
  readonly #unacked = new Unacked();

  constructor(dropRules: (addresses: readonly Address[]) => void) {
    this.#dropRules = dropRules;
  }

  has(address: Address): boolean {
    return this.#waiting.has(address);
  }

  firstHolder(address: Address): string | null {
    const node = this.#waiting.get(address)?.keys().next().value;
    return node?.name ?? null;
  }

  /** Waits for the holders, which were told already. A VIP without holders is done at once. */
  begin(holders: ReadonlyMap<Address, readonly Node[]>): void {
    for (const [address, nodes] of holders) {
      this.#waiting.set(address, new Map(nodes.map((node) => [node, this.#unacked.add(node, address)])));
    }
    this.#finish([...holders.keys()].filter((address) => this.#waiting.get(address)?.size === 0));
  }

  /** The VIP has Services again. Returns a node that may still hold it. */
  cancel(address: Address): Node | undefined {
    const node = this.#waiting.get(address)?.keys().next().value;
    this.#waiting.delete(address);
    return node;
  }

  /** The node let go of these VIPs: ends the waits that this fulfils. */
  letGo(node: Node, addresses: Iterable<Address>): void {
    const done: Address[] = [];
    for (const address of addresses) {
      const nodes = this.#waiting.get(address);
      const seq = nodes?.get(node);
      if (nodes === undefined || seq === undefined) continue;
      const hasLetGo = node.hasAcked('placements', seq) && !node.held.has(address);
      if (node.isConnected && !hasLetGo) continue;
      nodes.delete(node);
      if (nodes.size === 0) done.push(address);
    }
    this.#finish(done);
  }

  /** The node committed something. */
  acked(node: Node): void {
    this.letGo(node, this.#unacked.take(node));
  }

  /** The node disconnected: nothing waits for it. */
  gone(node: Node): void {
    this.letGo(node, this.#waiting.keys());
  }

  #finish(done: readonly Address[]): void {
    if (done.length === 0) return;
    for (const address of done) this.#waiting.delete(address);
    this.#dropRules(done);
  }
}
