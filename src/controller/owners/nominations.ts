// VIPs without an owner, each with its nominated node: the one that will get it, once it has committed the
// rules of the VIP.

import type { Address } from '../../state/address.ts';
import type { Node } from './nodes.ts';

/** After so many seconds without an acknowledgement a node is late. */
export const lateAfterTicks = 10;

/** The seconds that a node was waited for since it last committed something. */
interface Wait {
  ticks: number;
  /** Those of them in which another node had committed the rules that it was waited for. */
  ticksBehind: number;
}

export class Nominations {
  /** Null while no node is nominated. */
  readonly #chosen = new Map<Address, Node | null>();
  /** Those for which all nodes were asked, in vain: with each node that comes they are asked for again. */
  readonly #open = new Set<Address>();
  readonly #on = new Map<Node, Set<Address>>();
  readonly #waits = new Map<Node, Wait>();

  /** No node was asked for it yet. */
  expect(address: Address): void {
    this.#chosen.set(address, null);
  }

  set(address: Address, node: Node | null): void {
    this.#chosen.set(address, node);
    if (node === null) this.#open.add(address);
    if (node !== null) this.#on.set(node, (this.#on.get(node) ?? new Set()).add(address));
  }

  /** Returns the node that had been chosen, if any. */
  delete(address: Address): Node | null {
    const node = this.#chosen.get(address) ?? null;
    this.#chosen.delete(address);
    this.#open.delete(address);
    if (node !== null) this.#on.get(node)?.delete(address);
    return node;
  }

  /**
   * Another second has passed, by the count of this process, so that one that was stopped blames nobody.
   * `isCommitted` says of a VIP whether any node has its rules. Returns the nodes that are behind.
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

  /** The node chosen for a VIP, null if none was; undefined if it needs none. */
  get(address: Address): Node | null | undefined {
    return this.#chosen.get(address);
  }

  /** The VIPs that wait for one node, as they are now. */
  on(node: Node): readonly Address[] {
    return [...(this.#on.get(node) ?? [])];
  }

  /** What may be chosen otherwise because a node has come: what found none, or that one. */
  for(node: Node): readonly Address[] {
    return [...this.#open, ...this.on(node)];
  }

  /** All of them, as they are now: choosing again puts a VIP at the end. */
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
