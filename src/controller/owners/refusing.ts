// What each message about refusals does: a node refuses VIPs, and takes that back or is gone with it.

import type { Accepted, Refused } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import type { Controller } from '../controller.ts';
import { Answering } from './answering.ts';
import type { Node } from './node.ts';

export class Refusing {
  readonly #controller: Controller;
  readonly #answering: Answering;
  readonly #onRefused: (node: string, message: Refused) => void;

  constructor(controller: Controller, onRefused: (node: string, message: Refused) => void) {
    this.#controller = controller;
    this.#answering = new Answering(controller);
    this.#onRefused = onRefused;
  }

  refused(node: Node, message: Refused): void {
    const { table, key, code, reason } = message;
    // A refusal of a VIP that the node was not told of is dropped: it would be kept for nothing.
    if (!this.#isTold(node, key)) return;
    const refusal = { table, key, code, reason };
    if (this.#answering.excuses(node, refusal, message.mac)) return;
    node.refusals.add(refusal);
    if (code === 'AddressConflict') this.#controller.conflicts++;
    const { owners, isPublished } = this.#controller;
    if (!owners.isElsewhere(node, refusal)) this.#onRefused(node.name, message);
    if (isPublished) owners.refused(node, key);
  }

  accepted(node: Node, { table, key }: Accepted): void {
    const { owners } = this.#controller;
    const isTaken = table === 'placements' && node.placements.get(key) === undefined;
    if (isTaken && owners.ownerOf(key) !== undefined) node.refusals.pass(key);
    else node.refusals.delete(table, key);
    owners.accepted(node, [key]);
  }

  /** The node has acknowledged rules: what it refused on former connections and has not repeated is over. */
  acked(node: Node): void {
    this.#controller.owners.accepted(node, node.refusals.confirm());
    this.#answering.acked(node);
  }

  /** The node has disconnected: what it has heard of other hosts counts no more. */
  gone(node: Node): void {
    this.#controller.owners.accepted(
      node,
      [...node.refusals.values()].map(({ key }) => key),
    );
  }

  /** Called every second. True if a node may be chosen again for a VIP that it had refused. */
  tick(): boolean {
    const { nodes, owners } = this.#controller;
    let isAny = false;
    for (const node of nodes.all()) {
      const over = node.refusals.tick();
      if (over.length === 0) continue;
      owners.accepted(node, over);
      isAny = true;
    }
    return isAny;
  }

  /** Applies the refusals of a node, one a step: for each, all nodes may be asked about the VIP. */
  *before(node: Node): Generator<void, void> {
    for (const { key } of [...node.refusals.values()]) {
      if (node.refusalOf(key) !== undefined) this.#controller.owners.refused(node, key);
      yield;
    }
  }

  #isTold(node: Node, key: Address): boolean {
    const { rules, allocator, isPublished } = this.#controller;
    // An agent knows VIPs of its last controller, which this one has in its records before it has read them.
    if (!isPublished && allocator.isUsed(key)) return true;
    return rules.get(key) !== undefined || node.placements.get(key) !== undefined;
  }
}
