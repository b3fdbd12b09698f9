// The nodes that may be given a VIP, with their load.

import { type Address, addressBytes } from '../../state/address.ts';
import { type Candidate, seedOf } from '../place.ts';
import type { Table } from '../stream/table.ts';
import { EligibleNodes } from './eligible-nodes.ts';
import type { Node } from './node.ts';
import type { Nodes } from './nodes.ts';

const anyNode = () => true;

/** A candidate whose load is kept up to date. */
type Counted = Omit<Candidate, 'load'> & { load: number };

export class Candidates {
  readonly #nodes: Nodes;
  readonly #rules: Table<'rules'>;
  /** How many VIPs each node has or is nominated for; without the nodes that have none. */
  readonly #loads = new Map<string, number>();
  /** Each is kept as long as its node. */
  readonly #made = new WeakMap<Node, Counted>();
  /** The nodes as they are in this turn of choosing. */
  #turn: EligibleNodes;

  constructor(nodes: Nodes, rules: Table<'rules'>) {
    this.#nodes = nodes;
    this.#rules = rules;
    this.#turn = new EligibleNodes(nodes, this.#candidateOf);
  }

  count(name: string, by: 1 | -1): void {
    const load = (this.#loads.get(name) ?? 0) + by;
    if (load === 0) this.#loads.delete(name);
    else this.#loads.set(name, load);
    const node = this.#nodes.get(name);
    if (node !== undefined) this.#candidateOf(node).load = load;
  }

  /** True if the node has VIPs or is nominated for one. */
  isLoaded({ name }: Node): boolean {
    return this.#loads.has(name);
  }

  /** The connected nodes that may have the VIP and satisfy `isMeant`. None if a node objects to it. */
  for(address: Address, isMeant: (node: Node) => boolean = anyNode): readonly Candidate[] {
    if (this.#nodes.objectorTo(address) !== undefined) return [];
    const bytes = addressBytes(address);
    const bar = this.#nodes.bar(address);
    const candidates: Candidate[] = [];
    for (const node of this.#nodes.connected()) {
      if (!isMeant(node) || !node.isOpenTo(address)) continue;
      if (node.reaches(bytes) && bar(node.name) === null) candidates.push(this.#candidateOf(node));
    }
    return candidates;
  }

  /** Begins a turn of choosing, in which the nodes do not change. */
  begin(): void {
    this.#turn = new EligibleNodes(this.#nodes, this.#candidateOf);
  }

  /** Candidates that have the rules of the VIP in their kernels, so that it can be placed at once. */
  ready(address: Address, except: string | null = null): readonly Candidate[] {
    return this.for(address, (node) => node.name !== except && this.hasRules(node, address));
  }

  /**
   * The candidates that may replace the nominated node, or null if it stays: a node that is behind keeps a
   * VIP that no other node has the rules of.
   */
  insteadOf(chosen: Node | null, address: Address): readonly Candidate[] | null {
    if (!chosen?.isConnected || !chosen.mayTake(address)) return this.#turn.awaited(address);
    if (!chosen.isBehind) return null;
    const ready = this.ready(address);
    return ready.length > 0 ? ready : null;
  }

  /** True if any node has the rules of the VIP in its kernel. */
  readonly isCommitted = (address: Address): boolean => {
    return this.#nodes.connected().some((node) => this.hasRules(node, address));
  };

  /** True if the node has the rules of the VIP in its kernel. */
  hasRules(node: Node, address: Address): boolean {
    const since = this.#rules.sinceSeq(address);
    return since !== undefined && node.hasAcked('rules', since);
  }

  readonly #candidateOf = (node: Node): Counted => {
    const known = this.#made.get(node);
    if (known !== undefined) return known;
    const { name } = node;
    const made = { name, seed: seedOf(name), load: this.#loads.get(name) ?? 0 };
    this.#made.set(node, made);
    return made;
  };
}
