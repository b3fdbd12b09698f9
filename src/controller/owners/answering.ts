// VIPs that a node refuses since one of our nodes answers for them without being known to hold them. No
// stranger has such an address, but it may be the answering node's own.

import type { Address } from '../../state/address.ts';
import type { Controller } from '../controller.ts';
import type { Node } from './node.ts';
import type { KeptRefusal } from './refusals.ts';

interface Heard {
  readonly refusing: Node;
  readonly refusal: KeptRefusal;
}

export class Answering {
  readonly #controller: Controller;
  /** By the node that answers: refusals that count until it has the rules. */
  readonly #waiting = new WeakMap<Node, Map<Address, Heard>>();

  constructor(controller: Controller) {
    this.#controller = controller;
  }

  /**
   * A node refuses a VIP since a host with this MAC answers. True if that does not count: the host is a node
   * of ours that has the rules, and so has not said that the address is its own. The VIP is then placed
   * again, to be taken without asking the link. While that node lacks the rules the refusal counts.
   */
  excuses(refusing: Node, refusal: KeptRefusal, mac: string | undefined): boolean {
    const { nodes, isPublished } = this.#controller;
    const answering = mac === undefined || !isPublished ? undefined : nodes.nodeOfMac(mac);
    if (answering === undefined || !this.#isOfOwner({ refusing, refusal })) return false;
    if (this.#hasRules(answering, refusal)) return this.#placeAgain(refusal.key);
    const waiting = this.#waiting.get(answering) ?? new Map<Address, Heard>();
    this.#waiting.set(answering, waiting.set(refusal.key, { refusing, refusal }));
    return false;
  }

  /** The node has acknowledged rules: refusals that waited for that end. */
  acked(answering: Node): void {
    const waiting = this.#waiting.get(answering);
    if (waiting === undefined) return;
    for (const [key, heard] of waiting) {
      const { refusing, refusal } = heard;
      // The refusal may have been taken back or repeated since; one that was repeated was judged again.
      const isSame = refusing.isConnected && refusing.refusals.of(refusal.table, key) === refusal;
      if (isSame && !this.#hasRules(answering, refusal)) continue;
      waiting.delete(key);
      if (!isSame || !this.#isOfOwner(heard)) continue;
      refusing.refusals.delete(refusal.table, key);
      this.#placeAgain(key);
    }
  }

  /** The node has the VIP, and not for the time of a move. */
  #isOfOwner({ refusing, refusal: { key } }: Heard): boolean {
    const { owners } = this.#controller;
    return owners.ownerOf(key)?.node === refusing.name && !owners.moves.has(key);
  }

  #hasRules(answering: Node, { key }: KeptRefusal): boolean {
    return this.#controller.owners.candidates.hasRules(answering, key);
  }

  #placeAgain(key: Address): true {
    const { nodes, owners } = this.#controller;
    nodes.served.add(key);
    owners.withdraw(key);
    return true;
  }
}
