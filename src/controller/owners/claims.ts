// Compares the VIPs that nodes claim with the records: which claim counts, and which VIPs still wait for one.

import { type HeldVip, heldLimit } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import { compareTerms, type Term } from '../../state/term.ts';
import type { Owner } from '../records/records.ts';
import type { Table } from '../stream/table.ts';
import type { Node } from './node.ts';
import type { Nodes } from './nodes.ts';

export interface ClaimsInput {
  readonly nodes: Nodes;
  readonly rules: Table<'rules'>;
  /** The highest term that was ever issued. */
  readonly highestTerm: () => Term;
  /** Called when something that the records hold has changed. */
  readonly onChange: () => void;
}

/** The VIPs that a node says it holds, and those it holds no more. */
export interface Said {
  readonly set: readonly HeldVip[];
  readonly remove: Iterable<Address>;
}

/** What a claim does: makes its node the owner, or confirms it as the recorded owner. */
type Verdict = 'owns' | 'confirmed' | 'nothing';

export class Claims {
  readonly #input: ClaimsInput;
  /** VIPs whose owner is known from the records alone, with that node. */
  readonly #unclaimed = new Map<Address, string>();
  /** How many such VIPs each node has. */
  readonly #counts = new Map<string, number>();
  /** True once the time for claims is over. */
  isSettled = false;

  constructor(input: ClaimsInput, recorded: ReadonlyMap<Address, Owner>) {
    this.#input = input;
    for (const [address, { node }] of recorded) {
      this.#unclaimed.set(address, node);
      this.#counts.set(node, (this.#counts.get(node) ?? 0) + 1);
    }
  }

  /** VIPs that no node has claimed yet. */
  get unclaimed(): Iterable<Address> {
    return this.#unclaimed.keys();
  }

  /** Every recorded VIP has been claimed. */
  get areComplete(): boolean {
    return this.#unclaimed.size === 0;
  }

  /** True while the recorded owner is sent no placement: the real holder may not have claimed the VIP yet. */
  isAwaited(address: Address): boolean {
    return !this.isSettled && this.#unclaimed.has(address);
  }

  /** True while the node is sent no placements: it has not claimed all VIPs that the records give it. */
  isSilentTo(node: Node): boolean {
    return !this.isSettled && (this.#counts.get(node.name) ?? 0) > 0;
  }

  /** A controller has ruled after the records were made: other nodes may have the VIPs by now. */
  doubtRecords(): void {
    for (const address of this.#unclaimed.keys()) this.#input.nodes.served.delete(address);
  }

  /** Marks the owner as known from more than the records. False if it was so before. */
  confirm(address: Address): boolean {
    const node = this.#unclaimed.get(address);
    if (node === undefined) return false;
    this.#counts.set(node, (this.#counts.get(node) ?? 0) - 1);
    return this.#unclaimed.delete(address);
  }

  /**
   * Finds the owner of a VIP that has none: the connected node that holds it by the highest term, else a
   * disconnected one that may still hold it, or two would answer. Not one that was drained of it or was to
   * let it go.
   */
  of(address: Address): Owner | undefined {
    const best: { here?: Owner; away?: Owner } = {};
    for (const node of this.#input.nodes.all()) {
      const term = node.held.get(address);
      if (term === undefined || node.impossible.has(address)) continue;
      // A node passed over for a drain stays so until it is back: another node has the VIP by then.
      if (!node.isConnected && node.isDrained) node.outdone.add(address);
      if (!node.isConnected && node.outdone.has(address)) continue;
      const where = node.isConnected ? 'here' : 'away';
      const rival = best[where];
      if (rival === undefined || compareTerms(term, rival.term) > 0) best[where] = { node: node.name, term };
    }
    return best.here ?? best.away;
  }

  /** The former owner is to let go of the VIP: while it is away, its holding the VIP is no claim. */
  taken(address: Address, from: string | undefined): void {
    const former = from === undefined ? undefined : this.#input.nodes.get(from);
    if (former?.held.has(address) === true) former.outdone.add(address);
  }

  /** Notes that a VIP is a node's now, even if the node was to let go of it before. */
  given(address: Address, { from, to }: { readonly from: string | undefined; readonly to: string }): void {
    this.taken(address, from);
    this.#input.nodes.get(to)?.outdone.delete(address);
  }

  /** Drops the VIPs that a node says it holds by a term that was never issued. */
  sift(node: Node): void {
    for (const [address, term] of node.held) this.#admits(node, { address, term });
  }

  /** True if the term is possible and the VIP wanted. It then counts as served, no claim as its first. */
  believes(node: Node, held: HeldVip): boolean {
    const { rules, nodes, onChange } = this.#input;
    const { address } = held;
    if (!this.#admits(node, held) || rules.get(address) === undefined) return false;
    if (!nodes.served.has(address)) onChange();
    nodes.served.add(address);
    return true;
  }

  /** Judges a claim of a hello against the present owner. */
  judge({ name }: Node, { address, term }: HeldVip, owner: Owner | undefined): Verdict {
    if (owner === undefined) return 'owns';
    const isLater = compareTerms(term, owner.term) > 0;
    if (owner.node === name) return this.confirm(address) && !isLater ? 'confirmed' : owns(isLater);
    return owns(isLater && !this.#isKept(address, owner));
  }

  #admits(node: Node, { address, term }: HeldVip): boolean {
    if (compareTerms(term, this.#input.highestTerm()) <= 0) return true;
    node.held.delete(address);
    node.impossible.add(address);
    return false;
  }

  /**
   * After the time for claims, a VIP is never taken from a connected node that holds it, whatever another
   * node claims. The exception is a node that was given it by the records alone: they may be old.
   */
  #isKept(address: Address, { node }: Owner): boolean {
    const present = this.#input.nodes.get(node);
    const isHeld = present?.isConnected === true && present.held.has(address);
    return isHeld && this.isSettled && !this.#unclaimed.has(address);
  }
}

/** True if the node would hold more VIPs than any node may. */
export function isTooMuch({ held, impossible }: Node, { set, remove }: Said): boolean {
  if (held.size + impossible.size + set.length <= heldLimit) return false;
  const after = new Set(held.keys()).difference(new Set(remove));
  for (const { address } of set) after.add(address);
  return after.union(impossible).size > heldLimit;
}

function owns(isSo: boolean): Verdict {
  return isSo ? 'owns' : 'nothing';
}
