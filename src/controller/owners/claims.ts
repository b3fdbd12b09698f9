// What nodes say they hold, against what the records say: which claim counts, and who waits to be claimed.

import { type HeldVip, heldLimit } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import { compareTerms, type Term } from '../../state/term.ts';
import type { Owner } from '../records/records.ts';
import type { Table } from '../stream/table.ts';
import type { Node, Nodes } from './nodes.ts';

export interface ClaimsInput {
  readonly nodes: Nodes;
  readonly rules: Table<'rules'>;
  /** The highest term that was ever issued. */
  readonly highestTerm: () => Term;
  /** Something that belongs in the records has changed. */
  readonly onChange: () => void;
}

/** What a node says that it holds, and holds no more. */
export interface Said {
  readonly set: readonly HeldVip[];
  readonly remove: Iterable<Address>;
}

/** What a claim does: its node is the owner from now on, or is confirmed as the one of the records. */
export type Verdict = 'owns' | 'confirmed' | 'nothing';

export class Claims {
  readonly #input: ClaimsInput;
  /** VIPs whose owners are known by the records alone, with these. */
  readonly #unclaimed = new Map<Address, string>();
  /** How many of them each node has. */
  readonly #counts = new Map<string, number>();
  /** True once the nodes had time to say what they hold. */
  isSettled = false;

  constructor(input: ClaimsInput, recorded: ReadonlyMap<Address, Owner>) {
    this.#input = input;
    for (const [address, { node }] of recorded) {
      this.#unclaimed.set(address, node);
      this.#counts.set(node, (this.#counts.get(node) ?? 0) + 1);
    }
  }

  /** What nobody has claimed so far. */
  get unclaimed(): Iterable<Address> {
    return this.#unclaimed.keys();
  }

  get areAll(): boolean {
    return this.#unclaimed.size === 0;
  }

  /** True while the owner of a VIP is told nothing of it: who has it really may not have said so yet. */
  isAwaited(address: Address): boolean {
    return !this.isSettled && this.#unclaimed.has(address);
  }

  /** True while a node may be told of no placement: by the records it has one that it has not claimed. */
  isSilentTo(node: Node): boolean {
    return !this.isSettled && (this.#counts.get(node.name) ?? 0) > 0;
  }

  /** The owner of a VIP is known by more than the records. False if it was so before. */
  confirm(address: Address): boolean {
    const node = this.#unclaimed.get(address);
    if (node === undefined) return false;
    this.#counts.set(node, (this.#counts.get(node) ?? 0) - 1);
    return this.#unclaimed.delete(address);
  }

  /**
   * Who is to have a VIP that has no owner: the node here that holds it by the highest term, else one that is
   * away and may hold it still, or two would answer. What it was drained of, or was to let go, is not left to
   * it.
   */
  of(address: Address): Owner | undefined {
    const best: { here?: Owner; away?: Owner } = {};
    for (const node of this.#input.nodes.all()) {
      const term = node.held.get(address);
      if (term === undefined || node.impossible.has(address)) continue;
      // Whoever is passed over for a drain stays so until it is back: another node has the VIP by then.
      if (!node.isConnected && node.isDrained) node.outdone.add(address);
      if (!node.isConnected && node.outdone.has(address)) continue;
      const where = node.isConnected ? 'here' : 'away';
      const rival = best[where];
      if (rival === undefined || compareTerms(term, rival.term) > 0) best[where] = { node: node.name, term };
    }
    return best.here ?? best.away;
  }

  /** A node is to let go of a VIP: what it still has of it is no claim while it is away. */
  taken(address: Address, from: string | undefined): void {
    const former = from === undefined ? undefined : this.#input.nodes.get(from);
    if (former?.held.has(address) === true) former.outdone.add(address);
  }

  /** A VIP is a node's from now on, whoever was to let go of it before. */
  given(address: Address, { from, to }: { readonly from: string | undefined; readonly to: string }): void {
    this.taken(address, from);
    this.#input.nodes.get(to)?.outdone.delete(address);
  }

  /** What a node said it holds by terms that nobody can have issued it does not: nothing is kept for it. */
  sift(node: Node): void {
    for (const [address, term] of node.held) this.#admits(node, { address, term });
  }

  /** Whether a node may well hold a VIP that is wanted: from then on nobody's claim of it is the first. */
  believes(node: Node, held: HeldVip): boolean {
    const { rules, nodes, onChange } = this.#input;
    const { address } = held;
    if (!this.#admits(node, held) || rules.get(address) === undefined) return false;
    if (!nodes.served.has(address)) onChange();
    nodes.served.add(address);
    return true;
  }

  /** Judges what a node says in its hello, against the owner that there is. */
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
   * Once all had time to say what they hold, a VIP is never taken from a node that is here and holds it,
   * whatever another one says of itself; but from one that was told of it by the records, which may be old.
   */
  #isKept(address: Address, { node }: Owner): boolean {
    const present = this.#input.nodes.get(node);
    const isHeld = present?.isConnected === true && present.held.has(address);
    return isHeld && this.isSettled && !this.#unclaimed.has(address);
  }
}

/** True if a node would say by this that it holds more than any node may. */
export function isTooMuch({ held, impossible }: Node, { set, remove }: Said): boolean {
  if (held.size + impossible.size + set.length <= heldLimit) return false;
  const after = new Set(held.keys()).difference(new Set(remove));
  for (const { address } of set) after.add(address);
  return after.union(impossible).size > heldLimit;
}

function owns(isSo: boolean): Verdict {
  return isSo ? 'owns' : 'nothing';
}
