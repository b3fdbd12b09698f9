// Gives each VIP an owner by a term, and moves it only on order. Orders what nodes hear: rules before a
// placement, the new owner before the old one lets go, the end of a placement before the end of its rules.

import type { HeldVip } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import type { Owner } from '../records/records.ts';
import { inTurns } from '../turns.ts';
import { Candidates } from './candidates.ts';
import { Claims, type ClaimsInput } from './claims.ts';
import { Leaving } from './leaving.ts';
import { Moves } from './moves.ts';
import type { Node } from './node.ts';
import type { Nominations } from './nominations.ts';
import { Outbox } from './outbox.ts';
import { Ownership, type OwnershipInput } from './ownership.ts';
import type { KeptRefusal } from './refusals.ts';
import { Scheduler } from './scheduler.ts';

export interface OwnersInput extends ClaimsInput, Pick<OwnershipInput, 'owners' | 'nextTerm'> {
  /** Called when no node holds these VIPs any more: their rules may go. */
  readonly dropRules: (addresses: readonly Address[]) => void;
}

/** The placements of all VIPs. */
export class Owners {
  readonly all: ReadonlyMap<Address, Owner>;
  readonly nominations: Nominations;
  readonly moves: Moves;
  readonly candidates: Candidates;
  readonly claims: Claims;
  /** VIPs without Services, until their holders have let go. */
  readonly leaving: Leaving;
  readonly #input: OwnersInput;
  readonly #ownership: Ownership;
  readonly #outbox: Outbox = new Outbox();
  readonly #scheduler: Scheduler;

  constructor(input: OwnersInput) {
    const { nodes, rules, owners, nextTerm, onChange, dropRules } = input;
    this.#input = input;
    this.claims = new Claims(input, owners);
    this.candidates = new Candidates(nodes, rules);
    this.#ownership = new Ownership({
      nodes,
      claims: this.claims,
      candidates: this.candidates,
      outbox: this.#outbox,
      owners,
      nextTerm,
      onChange,
      onOwned: (address) => this.#scheduler.end(address),
    });
    this.all = this.#ownership.all;
    this.#scheduler = new Scheduler({
      nodes,
      candidates: this.candidates,
      isSettled: () => this.isSettled,
      place: this.#ownership.place,
      flush: () => this.#outbox.flush(),
    });
    this.nominations = this.#scheduler.nominations;
    this.leaving = new Leaving(dropRules);
    const { own } = this.#ownership;
    this.moves = new Moves({ nodes, nextTerm, outbox: this.#outbox, own, owners: this.all });
  }

  ownerOf(address: Address): Owner | undefined {
    return this.all.get(address);
  }

  /** The node of the owner; undefined also if it was forgotten. */
  nodeOf(address: Address): Node | undefined {
    return this.#ownership.nodeOf(address);
  }

  get isSettled(): boolean {
    return this.claims.isSettled;
  }

  /** Called when VIPs enter the rules. A recorded owner keeps its VIP, and is told once it claims it. */
  appear(addresses: Iterable<Address>): void {
    const fresh: Address[] = [];
    for (const address of addresses) {
      const former = this.leaving.cancel(address);
      if (this.claims.isAwaited(address)) continue;
      const owner = this.all.get(address) ?? this.claims.of(address);
      if (owner !== undefined) this.#ownership.own(address, owner);
      else if (this.#input.nodes.mayReturn(former, address)) this.#ownership.place(address, former);
      else fresh.push(address);
    }
    this.#outbox.flush();
    this.#scheduler.begin(fresh);
  }

  /** Called when VIPs lose their Services: the holders let go, then dropRules is called. */
  vanish(addresses: readonly Address[]): void {
    const holders = new Map<Address, readonly Node[]>();
    for (const address of addresses) {
      this.moves.cancel(address, 'its Services were removed');
      this.#scheduler.end(address);
      this.#ownership.disown(address);
      holders.set(address, this.#outbox.removeFromAll(this.#input.nodes, address));
    }
    this.#outbox.flush();
    this.leaving.begin(holders);
  }

  /** Ends the time for claims: an unclaimed VIP goes to its recorded owner, others to a nominated node. */
  settle(): void {
    this.claims.isSettled = true;
    this.#tellOwners(this.claims.unclaimed);
    this.#outbox.flush();
    inTurns(this.#input.nodes.startPlacements());
    this.retry();
  }

  /** Chooses again for those of these VIPs that have no nominated node, or one that may not have them. */
  retry(addresses?: Iterable<Address>): void {
    this.#scheduler.retry(addresses);
  }

  /** A node said hello: its VIPs with possible terms are believed. This moves no VIP to another node. */
  connected(node: Node): void {
    const claimed: Address[] = [];
    for (const [address, term] of node.held) {
      if (!this.claims.believes(node, { address, term }) || this.leaving.has(address)) continue;
      if (this.#claim(node, { address, term })) claimed.push(address);
    }
    // It may have been forgotten, with what it had been told.
    if (this.isSettled && node.placements.size === 0 && this.candidates.isLoaded(node))
      this.#tellOwners([...this.all.keys()].filter((address) => this.nodeOf(address) === node));
    this.#outbox.flush();
    if (claimed.length > 0) this.#input.nodes.claimed(claimed);
    this.retry(this.nominations.for(node));
  }

  /** A node's connection ended: it keeps what it holds. VIPs nominated to it get another node. */
  gone(node: Node): void {
    this.retry(this.nominations.on(node));
    this.moves.gone(node);
    this.leaving.gone(node);
    this.#outbox.flush();
  }

  /** Called every second: VIPs that wait for a node that is behind go to a node that has their rules. */
  tick(): void {
    this.#scheduler.tick();
  }

  /** A node committed something: what waited for it goes on. */
  acked(node: Node): void {
    this.#scheduler.acked(node);
    this.moves.acked(node);
    this.leaving.acked(node);
    this.#outbox.flush();
  }

  /** The VIPs that a node holds changed; `set` are the new ones and those with a new term. */
  heldChanged(node: Node, set: readonly HeldVip[]): void {
    for (const held of set) {
      this.claims.believes(node, held);
      if (this.nodeOf(held.address) === node) this.#review(held.address);
      this.moves.heldChanged(node, held.address);
    }
    this.#outbox.flush();
  }

  /** A node let go of VIPs: each owner announces again, for hosts that learned the former node's MAC. */
  letGo(former: Node, addresses: readonly Address[]): void {
    const isLost = this.#input.nodes.losses();
    for (const address of addresses) {
      const node = this.nodeOf(address);
      // A move repeats the announcement itself.
      if (this.moves.has(address)) this.moves.heldChanged(former, address);
      else if (node === undefined) continue;
      else if (node !== former) this.#outbox.repeat(node, address);
      else if (isLost(address, node)) this.withdraw(address);
      else this.#review(address);
    }
    this.leaving.letGo(former, addresses);
    this.#outbox.flush();
  }

  /** A node refused a VIP: it does not get it, nor does another if the address is the node's own. */
  refused(node: Node, address: Address): void {
    const isOwn = node.hasItself(address);
    this.moves.refused(node, address);
    if (this.nominations.get(address) === node || isOwn) this.#scheduler.again(address);
    const owner = this.nodeOf(address);
    if (owner === node) this.#review(address);
    else if (owner?.held.has(address) === false && isOwn) this.withdraw(address);
  }

  /** True for a VIP outside --allow of the node that another node has: nodes may have different ranges. */
  isElsewhere(node: Node, { code, key }: KeptRefusal): boolean {
    const owner = this.ownerOf(key);
    return code === 'Forbidden' && owner !== undefined && owner.node !== node.name;
  }

  /** A node takes back its refusals, or is gone with them: VIPs without a nominated node are tried again. */
  accepted(node: Node, addresses: readonly Address[]): void {
    for (const address of addresses) if (this.nodeOf(address) === node) this.#review(address);
    const open = addresses.filter((address) => this.nominations.get(address) === null);
    if (open.length > 0) this.retry(open);
  }

  /** The owner has to let go of the VIP, even if no other node can have it. */
  withdraw(address: Address): void {
    const node = this.nodeOf(address);
    if (node !== undefined) this.#outbox.remove(node, address);
    this.claims.taken(address, node?.name);
    this.#ownership.disown(address);
    if (this.#input.rules.get(address) !== undefined) this.#scheduler.begin([address]);
    this.#outbox.flush();
  }

  /**
   * An owner that refuses its VIP and does not hold it keeps it only until another node has the rules. While
   * it is away it may take the VIP unheard, and keeps it.
   */
  #review(address: Address): void {
    const owner = this.nodeOf(address);
    const isWanted = this.#input.rules.get(address) !== undefined;
    if (owner === undefined || !isWanted || this.moves.has(address)) return;
    const isRefused = owner.refusalOf(address) !== undefined && !owner.held.has(address);
    if (!isRefused || !owner.isConnected) this.#scheduler.end(address);
    else if (this.nominations.get(address) === undefined) this.#scheduler.begin([address]);
  }

  /** An owner that does not hold its VIP loses it if another node has the address for itself. */
  #tellOwners(addresses: Iterable<Address>): void {
    const isLost = this.#input.nodes.losses();
    for (const address of addresses)
      if (isLost(address, this.nodeOf(address))) this.withdraw(address);
      else this.#ownership.tell(address);
  }

  /** True if the claim makes the node the owner. */
  #claim(node: Node, held: HeldVip): boolean {
    const { address, term } = held;
    const verdict = this.claims.judge(node, held, this.all.get(address));
    if (verdict === 'confirmed') this.#ownership.tell(address);
    if (verdict !== 'owns') return false;
    this.#ownership.take(address, { node: node.name, term });
    return true;
  }
}
