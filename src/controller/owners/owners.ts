// Who holds each VIP: chosen once, by a term, and moved only when told to; and the order of what nodes are
// told: rules before a placement, the new owner before the old lets go, a placement's end before its rules'.

import type { HeldVip } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import type { Term } from '../../state/term.ts';
import type { Owner } from '../records/records.ts';
import type { Table } from '../stream/table.ts';
import { inTurns } from '../turns.ts';
import { Candidates } from './candidates.ts';
import { Claims, type Verdict } from './claims.ts';
import { Leaving } from './leaving.ts';
import { Moves } from './moves.ts';
import type { Node, Nodes } from './nodes.ts';
import type { Nominations } from './nominations.ts';
import { Outbox } from './outbox.ts';
import { Scheduler } from './scheduler.ts';

export interface OwnersInput {
  readonly nodes: Nodes;
  readonly rules: Table<'rules'>;
  readonly owners: ReadonlyMap<Address, Owner>;
  /** A term above all that were issued. */
  readonly nextTerm: () => Term;
  /** The highest term that was ever issued. */
  readonly highestTerm: () => Term;
  /** No node has these VIPs any more: their rules may go. */
  readonly dropRules: (addresses: readonly Address[]) => void;
  readonly onChange: () => void;
}

/** The placements of all VIPs. */
export class Owners {
  readonly moves: Moves;
  readonly candidates: Candidates;
  /** VIPs that are wanted no more, and whose holders have not let go yet. */
  readonly leaving: Leaving;
  readonly #input: OwnersInput;
  readonly #owners: Map<Address, Owner>;
  readonly claims: Claims;
  readonly #outbox: Outbox = new Outbox();
  readonly #scheduler: Scheduler;

  constructor(input: OwnersInput) {
    this.#input = input;
    this.#owners = new Map(input.owners);
    this.claims = new Claims(input, input.owners);
    this.candidates = new Candidates(input.nodes, input.rules);
    this.#scheduler = new Scheduler({
      ...{ nodes: input.nodes, candidates: this.candidates },
      isSettled: () => this.isSettled,
      place: this.#place,
      flush: () => this.#outbox.flush(),
    });
    for (const { node } of this.#owners.values()) this.candidates.count(input.nodes.at(node).name, 1);
    this.leaving = new Leaving(input.dropRules);
    this.moves = new Moves({
      ...{ nodes: input.nodes, outbox: this.#outbox, own: this.#own },
      ownerOf: (vip) => this.#owners.get(vip),
    });
  }

  get all(): ReadonlyMap<Address, Owner> {
    return this.#owners;
  }

  ownerOf(address: Address): Owner | undefined {
    return this.#owners.get(address);
  }

  /** VIPs that have no owner, and the nodes that commit their rules first. */
  get nominations(): Nominations {
    return this.#scheduler.nominations;
  }

  /** True if its node announces the VIP, and has its rules in the kernel. */
  isServing(address: Address): boolean {
    const owner = this.#owners.get(address);
    if (owner === undefined || this.leaving.has(address) || this.moves.has(address)) return false;
    const node = this.#input.nodes.at(owner.node);
    return node.isConnected && node.held.has(address) && this.candidates.hasRules(node, address);
  }

  get isSettled(): boolean {
    return this.claims.isSettled;
  }

  /** These VIPs are in the rules. Those that have an owner stay with it: once it claims them it is told. */
  appear(addresses: Iterable<Address>): void {
    const fresh: Address[] = [];
    for (const address of addresses) {
      const former = this.leaving.cancel(address);
      if (this.claims.isAwaited(address)) continue;
      const owner = this.#owners.get(address) ?? this.claims.of(address);
      if (owner !== undefined) this.#own(address, owner);
      else if (former?.isConnected === true && former.mayTake(address)) this.#place(address, former);
      else fresh.push(address);
    }
    this.#outbox.flush();
    this.#scheduler.begin(fresh);
  }

  /** These VIPs are wanted no more: first their holders let go, then dropRules is called. */
  vanish(addresses: readonly Address[]): void {
    const holders = new Map<Address, readonly Node[]>();
    for (const address of addresses) {
      this.moves.cancel(address, 'its Services were removed');
      this.#scheduler.end(address);
      this.#disown(address);
      holders.set(address, this.#outbox.removeFromAll(this.#input.nodes, address));
    }
    this.#outbox.flush();
    this.leaving.begin(holders);
  }

  /** The nodes had time to say what they hold: what nobody claimed is placed, by the records if they know. */
  settle(): void {
    this.claims.isSettled = true;
    for (const address of this.claims.unclaimed) this.#tell(address);
    this.#outbox.flush();
    inTurns(this.#input.nodes.startPlacements());
    this.retry();
  }

  /** Asks again for those of the VIPs that found no node, or one that may not have them any more. */
  retry(addresses?: Iterable<Address>): void {
    this.#scheduler.retry(addresses);
  }

  /** A node said hello: what it holds is believed where its term can be. Nothing moves by it. */
  connected(node: Node): void {
    const claimed: Address[] = [];
    for (const [address, term] of node.held) {
      if (!this.claims.believes(node, { address, term }) || this.leaving.has(address)) continue;
      if (this.#claim(node, { address, term }) === 'owns') claimed.push(address);
    }
    this.#outbox.flush();
    if (claimed.length > 0) this.#input.nodes.claimed(claimed);
    this.retry(this.nominations.for(node));
  }

  /** A node's connection ended: it keeps what it holds, and what was only chosen for it is chosen again. */
  gone(node: Node): void {
    this.retry(this.nominations.on(node));
    this.moves.gone(node);
    this.leaving.check(node);
    this.#outbox.flush();
  }

  /** Called every second: a node that is behind others keeps no VIP waiting that one of them may have. */
  tick(): void {
    this.#scheduler.tick();
  }

  /** A node committed something: what waited for that goes on. */
  acked(node: Node): void {
    this.#scheduler.acked(node);
    this.moves.check(node);
    this.leaving.check(node);
    this.#outbox.flush();
  }

  /** What a node holds has changed; `set` is what it says for the first time, or anew. */
  heldChanged(node: Node, set: readonly HeldVip[]): void {
    for (const held of set) this.claims.believes(node, held);
    this.moves.check(node);
    this.leaving.check(node);
    this.#outbox.flush();
  }

  /** A node let these go. Whose they are announces them again: who asked meanwhile may have heard it. */
  letGo(former: Node, addresses: readonly Address[]): void {
    for (const address of addresses) {
      const owner = this.#owners.get(address);
      // A move sees to that itself.
      if (owner === undefined || owner.node === former.name || this.moves.has(address)) continue;
      this.#outbox.repeat(this.#input.nodes.at(owner.node), address);
    }
    this.#outbox.flush();
  }

  /** A node could not put a VIP in force. One that it never held goes to a node that has not refused it. */
  refused(node: Node, address: Address): void {
    const owner = this.moves.refused(node, address) ? undefined : this.#owners.get(address);
    if (this.nominations.get(address) === node) this.retry([address]);
    const isElsewhere = owner?.node === node.name && !node.held.has(address);
    if (isElsewhere && this.candidates.for(address).length > 0) this.withdraw(address);
    this.#outbox.flush();
  }

  /** What kept a VIP from a node, and perhaps from all, is over. */
  accepted(address: Address): void {
    if (this.nominations.get(address) === null) this.retry([address]);
  }

  /** Its node has to let go of a VIP, whoever may have it then: another one, or nobody. */
  withdraw(address: Address): void {
    const owner = this.#owners.get(address);
    if (owner !== undefined) this.#outbox.remove(this.#input.nodes.at(owner.node), address);
    this.claims.taken(address, owner?.node);
    this.#disown(address);
    this.#scheduler.begin([address]);
    this.#outbox.flush();
  }

  /** The node has the rules: it is given the VIP, by a new term. */
  readonly #place = (address: Address, node: Node): void => {
    this.#own(address, { node: node.name, term: this.#input.nextTerm() });
  };

  /** Writes an owner down and tells its node; the former owner is told nothing by this. */
  readonly #own = (address: Address, owner: Owner): void => {
    this.#scheduler.end(address);
    this.claims.given(address, { from: this.#owners.get(address)?.node, to: owner.node });
    this.#disown(address);
    this.#owners.set(address, owner);
    this.candidates.count(owner.node, 1);
    this.#tell(address);
    this.#input.onChange();
  };

  #tell(address: Address): void {
    const owner = this.#owners.get(address);
    if (owner !== undefined)
      this.#outbox.set(this.#input.nodes.at(owner.node), { address, term: owner.term });
  }

  #disown(address: Address): void {
    const owner = this.#owners.get(address);
    if (owner === undefined) return;
    this.#owners.delete(address);
    this.claims.confirm(address);
    this.candidates.count(owner.node, -1);
    this.#input.onChange();
  }

  #claim(node: Node, held: HeldVip): Verdict {
    const { address, term } = held;
    const owner = this.#owners.get(address);
    const verdict = this.claims.judge(node, held, owner);
    if (verdict === 'confirmed') this.#tell(address);
    if (verdict !== 'owns') return verdict;
    const former = owner === undefined ? node : this.#input.nodes.at(owner.node);
    if (former !== node) this.#outbox.remove(former, address);
    this.#own(address, { node: node.name, term });
    return verdict;
  }
}
