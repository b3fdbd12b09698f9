// VIPs without an owner, each with its nominated node, which gets the VIP once it has committed its rules.

import type { Address } from '../../state/address.ts';
import type { Node } from './node.ts';

/** A node is late after this many seconds without an ack. */
export const lateAfterTicks = 10;

/** How long VIPs have waited for a node since its last ack, in seconds. */
interface Wait {
  ticks: number;
  /** The seconds of these in which another node had committed the rules. */
  ticksBehind: number;
}

export class Nominations {
  /** Null while no node is nominated. */
  readonly #chosen = new Map<Address, Node | null>();
  /** VIPs for which no node was eligible: each node that connects is tried for them. */
  readonly #open = new Set<Address>();
  readonly #on = new Map<Node, Set<Address>>();
  readonly #waits = new Map<Node, Wait>();

  /** The VIP needs a node. */
  expect(address: Address): void {
    this.#chosen.set(address, null);
  }

  set(address: Address, node: Node | null): void {
    this.#chosen.set(address, node);
    if (node === null) this.#open.add(address);
    else this.#on.set(node, (this.#on.get(node) ?? new Set()).add(address));
  }

  /** Returns the nominated node, if any. */
  delete(address: Address): Node | null {
    const node = this.#chosen.get(address) ?? null;
    this.#chosen.delete(address);
    this.#open.delete(address);
    if (node !== null) this.#on.get(node)?.delete(address);
    return node;
  }

  /**
   * Counts one second. Counting, not the clock, keeps a stopped controller from blaming nodes. `isCommitted`
   * says whether any node has a VIP's rules. Returns the nodes that are behind.
   */
  tick(isCommitted: (address: Address) => boolean): readonly Node[] {
    for (const [node, addresses] of this.#on) {
      const [address] = addresses;
      if (address !== undefined) {
        this.#waited(node, isCommitted(address));
        continue;
      }
      this.#on.delete(node);
      this.#waits.delete(node);
    }
    return [...this.#waits.keys()].filter((node) => node.isBehind);
  }

  /** The node has committed something. */
  progressed(node: Node): void {
    this.#waits.delete(node);
    node.isLate = false;
    node.isBehind = false;
  }

  /** The nominated node; null if there is none, undefined if the VIP needs none. */
  get(address: Address): Node | null | undefined {
    return this.#chosen.get(address);
  }

  /** A snapshot of the VIPs that wait for the node. */
  on(node: Node): readonly Address[] {
    return [...(this.#on.get(node) ?? [])];
  }

  /** The VIPs to choose for when this node connects: those without a node, and its own. */
  for(node: Node): readonly Address[] {
    return [...this.#open, ...this.on(node)];
  }

  /** A snapshot of all VIPs: choosing again puts a VIP at the end of the map. */
  all(): readonly Address[] {
    return [...this.#chosen.keys()];
  }

  #waited(node: Node, isBehind: boolean): void {
    const { ticks, ticksBehind } = this.#waits.get(node) ?? { ticks: 0, ticksBehind: 0 };
    const wait = { ticks: ticks + 1, ticksBehind: ticksBehind + (isBehind ? 1 : 0) };
    this.#waits.set(node, wait);
    node.isLate ||= wait.ticks >= lateAfterTicks;
    node.isBehind ||= wait.ticksBehind >= lateAfterTicks;
  }
}
