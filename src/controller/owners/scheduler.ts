// Nominates a node for each VIP that has no owner, and places the VIP once the node has its rules. Works in
// turns, for VIPs and nodes may be many. Placements go out when all are nominated: one by one each would be a
// message of its own, with an answer to it.

import type { Address } from '../../state/address.ts';
import { chooseNode } from '../place.ts';
import { TurnQueue } from '../turns.ts';
import type { Candidates } from './candidates.ts';
import type { Node, Nodes } from './nodes.ts';
import { Nominations } from './nominations.ts';

export interface SchedulerInput {
  readonly nodes: Nodes;
  readonly candidates: Candidates;
  /** Nothing is chosen before the nodes had time to say what they hold. */
  readonly isSettled: () => boolean;
  /** Gives a VIP to a node that has its rules. */
  readonly place: (address: Address, node: Node) => void;
  /** Called at the end of each turn of placing. */
  readonly flush: () => void;
}

export class Scheduler {
  /** VIPs that have no owner, and the nodes that commit their rules first. */
  readonly nominations: Nominations = new Nominations();
  readonly #input: SchedulerInput;
  readonly #asked: TurnQueue<Address>;
  /** Nodes with rules of VIPs that they were chosen for since the last were placed. */
  readonly #ready = new Set<Node>();
  /** What is looked at after that, the VIPs of a node together: what is placed in a turn is one message. */
  readonly #placing: TurnQueue<Address>;

  constructor(input: SchedulerInput) {
    this.#input = input;
    this.#asked = new TurnQueue(this.#choose, {
      begin: () => input.candidates.begin(),
      done: () => this.#placeReady(),
    });
    this.#placing = new TurnQueue(this.#place, { done: input.flush, pause: input.flush });
  }

  /** These VIPs need a node. */
  begin(addresses: readonly Address[]): void {
    for (const address of addresses) this.nominations.expect(address);
    this.retry(addresses);
  }

  /** This one needs none any more, or has one. */
  end(address: Address): void {
    const node = this.nominations.delete(address);
    if (node !== null) this.#input.candidates.count(node.name, -1);
  }

  /** Asks again for those of the VIPs that found no node, or one that may not have them any more. */
  retry(addresses: Iterable<Address> = this.nominations.all()): void {
    if (this.#input.isSettled()) this.#asked.add(addresses);
  }

  /** A node committed something: it has the rules of more VIPs now. */
  acked(node: Node): void {
    this.nominations.progressed(node);
    this.#placing.add(this.nominations.on(node));
  }

  /** Called every second: a node that is behind others keeps no VIP waiting that one of them may have. */
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
    if (node?.isConnected && this.#input.candidates.hasRules(node, address)) this.#input.place(address, node);
  };
}
