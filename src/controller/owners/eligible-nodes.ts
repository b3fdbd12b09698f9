// The nodes eligible for VIPs in one turn. What many VIPs and nodes share is computed once.

import { type Address, addressBytes } from '../../state/address.ts';
import type { Candidate } from '../place.ts';
import type { Node } from './node.ts';
import type { Nodes } from './nodes.ts';

/** Returns why a node may not have a VIP, or null. */
type Barring = ReturnType<Nodes['bar']>;

/** Nodes that reach the same addresses. */
interface Group {
  readonly first: Node;
  readonly all: Candidate[];
  /** The candidates of `all` whose nodes are not behind. */
  readonly prompt: Candidate[];
}

/** The connected nodes that one Barring allows. */
interface Open {
  /** Nodes without objections, by range: they are eligible for any VIP that they reach. */
  readonly groups: ReadonlyMap<string, Group>;
  /** Connected nodes with objections, which are checked for each VIP. */
  readonly particular: readonly Node[];
}

export class EligibleNodes {
  readonly #nodes: Nodes;
  readonly #candidateOf: (node: Node) => Candidate;
  /** Most VIPs share one Barring. */
  readonly #byBarring = new WeakMap<Barring, Open>();
  /** The few nodes with objections, connected or not. */
  readonly #objecting: readonly Node[];

  constructor(nodes: Nodes, candidateOf: (node: Node) => Candidate) {
    this.#nodes = nodes;
    this.#candidateOf = candidateOf;
    this.#objecting = [...nodes.all().filter(({ hasObjections }) => hasObjections)];
  }

  /**
   * The connected nodes that may have the VIP, without those that are behind if others are left. None if a
   * node objects to it.
   */
  awaited(address: Address): readonly Candidate[] {
    const groups = this.#groupsFor(address);
    const prompt = together(groups.map((group) => group.prompt));
    return prompt.length > 0 ? prompt : together(groups.map((group) => group.all));
  }

  #groupsFor(address: Address): readonly Group[] {
    if (this.#objecting.some((node) => node.objectsTo(address))) return [];
    const barring = this.#nodes.bar(address);
    const bytes = addressBytes(address);
    const { groups, particular } = this.#open(barring);
    const reached = [...groups.values().filter(({ first }) => first.reaches(bytes))];
    for (const node of particular)
      if (node.isOpenTo(address) && node.reaches(bytes) && barring(node.name) === null)
        reached.push(this.#join(node));
    return reached;
  }

  #open(barring: Barring): Open {
    const known = this.#byBarring.get(barring);
    if (known !== undefined) return known;
    const groups = new Map<string, Group>();
    const particular: Node[] = [];
    for (const node of this.#nodes.connected()) {
      if (node.hasObjections) particular.push(node);
      else if (!node.isDrained && barring(node.name) === null)
        groups.set(node.range, this.#join(node, groups.get(node.range)));
    }
    const open = { groups, particular };
    this.#byBarring.set(barring, open);
    return open;
  }

  /** Adds a node to a group, or to a new one. */
  #join(node: Node, group: Group = { first: node, all: [], prompt: [] }): Group {
    const candidate = this.#candidateOf(node);
    group.all.push(candidate);
    if (!node.isBehind) group.prompt.push(candidate);
    return group;
  }
}

/** Usually there is one list, which is not copied. */
function together(lists: readonly (readonly Candidate[])[]): readonly Candidate[] {
  const [first = [], ...more] = lists;
  return more.length === 0 ? first : lists.flat();
}
