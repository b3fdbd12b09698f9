// The nodes that may be given a VIP, with their load.

import { type Address, addressBytes } from '../../state/address.ts';
import { type Candidate, seedOf } from '../place.ts';
import type { Table } from '../stream/table.ts';
import { EligibleNodes } from './eligible-nodes.ts';
import type { Node, Nodes } from './nodes.ts';

const anyNode = () => true;

export class Candidates {
  readonly #nodes: Nodes;
  readonly #rules: Table<'rules'>;
  /** Those that were ever asked for, with what they have by now. */
  readonly #known = new Map<string, { readonly name: string; readonly seed: number; load: number }>();
  /** The nodes as they are in this turn of choosing. */
  #turn: EligibleNodes;

  constructor(nodes: Nodes, rules: Table<'rules'>) {
    this.#nodes = nodes;
    this.#rules = rules;
    this.#turn = new EligibleNodes(nodes, this.#candidateOf);
  }

  count(name: string, by: 1 | -1): void {
    this.#at(name).load += by;
  }

  /**
   * The connected nodes that may have the VIP, and of which `isMeant` is true; none, if it belongs to one of
   * them.
   */
  for(address: Address, isMeant: (node: Node) => boolean = anyNode): readonly Candidate[] {
    const bytes = addressBytes(address);
    const bar = this.#nodes.bar(address);
    const candidates: Candidate[] = [];
    for (const node of this.#nodes.connected()) {
      if (node.objectsTo(address)) return [];
      if (!isMeant(node) || !node.isOpenTo(address)) continue;
      if (node.reaches(bytes) && bar(node.name) === null) candidates.push(this.#candidateOf(node));
    }
    return candidates;
  }

  /** A turn of choosing begins: in it nodes stay as they are. */
  begin(): void {
    this.#turn = new EligibleNodes(this.#nodes, this.#candidateOf);
  }

  /** Those that have the rules of the VIP in their kernels, so that nothing is waited for. */
  ready(address: Address, except: string | null = null): readonly Candidate[] {
    return this.for(address, (node) => node.name !== except && this.hasRules(node, address));
  }

  /**
   * Those to choose from in this turn where another node was chosen already, or none; null if that one
   * stays: a node that is behind keeps what nobody can have at once.
   */
  insteadOf(chosen: Node | null, address: Address): readonly Candidate[] | null {
    if (!chosen?.isConnected || !chosen.mayTake(address)) return this.#turn.awaited(address);
    if (!chosen.isBehind) return null;
    const ready = this.ready(address);
    return ready.length > 0 ? ready : null;
  }

  /** True if the rules of a VIP are in the kernel of any node. */
  readonly isCommitted = (address: Address): boolean => {
    return this.#nodes.connected().some((node) => this.hasRules(node, address));
  };

  /** True if the rules of a VIP are in the kernel of a node. */
  hasRules(node: Node, address: Address): boolean {
    const since = this.#rules.sinceSeq(address);
    return since !== undefined && node.hasAcked('rules', since);
  }

  #at(name: string) {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const made = { name, seed: seedOf(name), load: 0 };
    this.#known.set(name, made);
    return made;
  }

  readonly #candidateOf = (node: Node): Candidate => this.#at(node.name);
}
