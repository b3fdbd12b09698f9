// Nominates a node for each VIP without an owner, and places the VIP once the node has its rules. Works in
// turns, as VIPs and nodes may be many. Placements of a turn go out together: one frame and one ack, not one
// for each VIP.

import type { Address } from '../../state/address.ts';
import { chooseNode } from '../place.ts';
import { TurnQueue } from '../turns.ts';
import type { Candidates } from './candidates.ts';
import type { Node } from './node.ts';
import type { Nodes } from './nodes.ts';
import { Nominations } from './nominations.ts';

export interface SchedulerInput {
  readonly nodes: Nodes;
  readonly candidates: Candidates;
  /** False until the time for claims is over: no node is chosen before. */
  readonly isSettled: () => boolean;
  /** Gives a VIP to a node that has its rules. */
  readonly place: (address: Address, node: Node) => void;
  /** Called at the end of each turn of placing. */
  readonly flush: () => void;
}

export class Scheduler {
  /** VIPs without an owner, and the nodes that commit their rules first. */
  readonly nominations: Nominations = new Nominations();
  readonly #input: SchedulerInput;
  readonly #asked: TurnQueue<Address>;
  /** Nodes nominated for VIPs whose rules they already have, since the last placing. */
  readonly #ready = new Set<Node>();
  /** VIPs to place, those of one node together: the placements of a turn are one frame a node. */
  readonly #placing: TurnQueue<Address>;

  constructor(input: SchedulerInput) {
    this.#input = input;
    this.#asked = new TurnQueue(this.#choose, {
      begin: () => input.candidates.begin(),
      done: () => this.#placeReady(),
    });
    this.#placing = new TurnQueue(this.#place, { done: input.flush, pause: input.flush });
  }

  /** These VIPs need a node, and another one than they may have been nominated to. */
  begin(addresses: readonly Address[]): void {
    for (const address of addresses) {
      this.end(address);
      this.nominations.expect(address);
    }
    this.retry(addresses);
  }

  /** The VIP needs no node any more, or has one. */
  end(address: Address): void {
    const node = this.nominations.delete(address);
    if (node !== null) this.#input.candidates.count(node.name, -1);
  }

  /** The nominated node, if any, may not have the VIP any more. */
  again(address: Address): void {
    if (this.nominations.get(address)) this.begin([address]);
  }

  /** Chooses again for those of these VIPs that have no nominated node, or one that may not have them. */
  retry(addresses: Iterable<Address> = this.nominations.all()): void {
    if (this.#input.isSettled()) this.#asked.add(addresses);
  }

  /** A node committed something: it may have the rules of more VIPs now. */
  acked(node: Node): void {
    this.nominations.progressed(node);
    this.#placing.add(this.nominations.on(node));
  }

  /** Called every second: VIPs that wait for a node that is behind go to a node that has their rules. */
  tick(): void {
    const { isCommitted } = this.#input.candidates;
    for (const node of this.nominations.tick(isCommitted)) this.retry(this.nominations.on(node));
  }

  readonly #choose = (address: Address): void => {
    const { nodes, candidates } = this.#input;
    const chosen = this.nominations.get(address);
    const among = chosen === undefined ? null : candidates.insteadOf(chosen, address);
    if (among === null) return;
    this.end(address);
    const name = chooseNode(address, among, nodes.preferred(address));
    const node = name === null ? null : nodes.at(name);
    this.nominations.set(address, node);
    if (node === null) return;
    candidates.count(node.name, 1);
    if (candidates.hasRules(node, address)) this.#ready.add(node);
  };

  #placeReady(): void {
    const nodes = [...this.#ready];
    this.#ready.clear();
    this.#placing.add(nodes.flatMap((node) => this.nominations.on(node)));
  }

  readonly #place = (address: Address): void => {
    const node = this.nominations.get(address);
    if (!node?.isConnected || !this.#input.candidates.hasRules(node, address)) return;
    // Since it was chosen it may have been drained, or have claimed the VIP by an impossible term.
    if (node.isOpenTo(address)) this.#input.place(address, node);
    else this.retry([address]);
  };
}
