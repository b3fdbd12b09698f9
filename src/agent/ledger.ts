// The agent's knowledge by address: what the controller wants, what the kernel holds, and what was refused.

import type { Refusal, TableName } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { HeldAddress } from '../state/desired-state.ts';
import { SteadyMap } from '../state/steady-map.ts';
import { compareTerms, type Term } from '../state/term.ts';
import type { Placement, VirtualIp } from '../state/virtual-ip.ts';

/** `wanted` and `placed` are the controller's word, `committed` and `held` the kernel's. */
export class Ledger {
  readonly wanted: Map<Address, VirtualIp> = new SteadyMap();
  /** VIPs that the controller wants, but whose address is one of the node's own. */
  readonly barred: Map<Address, VirtualIp> = new Map();
  readonly placed: Map<Address, Placement> = new Map();
  readonly committed: Map<Address, VirtualIp> = new SteadyMap();
  readonly held: Map<Address, HeldAddress> = new Map();
  /** Placed VIPs that no node is known to have held: a host outside the cluster may have the address. */
  readonly firstClaims: Set<Address> = new Set();
  /** Addresses that are being removed, with the term of their last placement. */
  readonly #leaving = new Map<Address, Term>();
  /** The last committed state of refused VIPs whose rules the kernel has lost. */
  readonly #lost = new Map<Address, VirtualIp>();
  readonly #refusals: { readonly [Name in TableName]: Map<Address, Refusal> } = {
    rules: new Map(),
    placements: new Map(),
  };
  /** Keys whose refusal was dropped for a retry and not taken back yet. */
  readonly #retried: { readonly [Name in TableName]: Set<Address> } = {
    rules: new Set(),
    placements: new Set(),
  };

  /** Returns true if the refusal is new, or has another reason than before. */
  refuse(refusal: Refusal): boolean {
    const { table, key } = refusal;
    const known = this.#refusals[table].get(key);
    this.#refusals[table].set(key, refusal);
    return known?.reason !== refusal.reason;
  }

  /** Drops the refusal of a key, if there is one, so that it is tried again. */
  retry(table: TableName, key: Address): void {
    if (table === 'rules') this.#lost.delete(key);
    if (this.#refusals[table].delete(key)) this.#retried[table].add(key);
  }

  /** The key is no longer refused. Returns true if there was a refusal to take back. */
  accept(table: TableName, key: Address): boolean {
    this.retry(table, key);
    return this.#retried[table].delete(key);
  }

  refusal(table: TableName, key: Address): Refusal | undefined {
    return this.#refusals[table].get(key);
  }

  /**
   * The rules that the kernel should hold for a VIP. A VIP that the kernel refused keeps its last committed
   * rules until the controller wants others. A VIP that is no longer wanted, or is forbidden here, keeps them
   * while its address is held.
   */
  target(key: Address): VirtualIp | undefined {
    const committed = this.committed.get(key);
    if (this.#refusals.rules.get(key)?.code === 'KernelRefused') return committed ?? this.#lost.get(key);
    return this.wanted.get(key) ?? (this.held.has(key) ? committed : undefined);
  }

  /** Whether the kernel holds the target rules of a VIP. */
  isCommitted(key: Address): boolean {
    return this.target(key) === this.committed.get(key);
  }

  /** Whether the kernel holds the wanted rules of a VIP, and not only its last good ones. */
  isInForce(key: Address): boolean {
    const wanted = this.wanted.get(key);
    return wanted !== undefined && wanted === this.committed.get(key);
  }

  /** A first claim stays one under the same term until the kernel carries the address. */
  place(placement: Placement, isFirst: boolean): void {
    const { address, term } = placement;
    const known = this.placed.get(address);
    this.placed.set(address, placement);
    this.#leaving.delete(address);
    if (isFirst && !this.held.has(address)) this.firstClaims.add(address);
    else if (known === undefined || compareTerms(known.term, term) !== 0) this.firstClaims.delete(address);
  }

  /** Replaces the set of first claims. Returns the VIPs that no longer are first claims. */
  claimFirst(first: ReadonlySet<Address>): Address[] {
    const former = this.firstClaims.difference(first);
    for (const address of former) this.firstClaims.delete(address);
    for (const address of first)
      if (this.placed.has(address) && !this.held.has(address)) this.firstClaims.add(address);
    return [...former];
  }

  /** A placed VIP that the kernel does not carry becomes a first claim. */
  claimLost(address: Address): void {
    if (this.placed.has(address) && !this.held.has(address)) this.firstClaims.add(address);
  }

  /** If the kernel still carries the address, it counts as held under its last term until it is gone. */
  unplace(address: Address): void {
    const known = this.placed.get(address);
    if (known !== undefined && this.held.has(address)) this.#leaving.set(address, known.term);
    this.placed.delete(address);
    this.firstClaims.delete(address);
  }

  /** The kernel carries the address for us. */
  hold(held: HeldAddress): void {
    this.held.set(held.address, held);
    this.firstClaims.delete(held.address);
  }

  /** The agent is about to remove the address from the kernel. */
  letGo(address: Address): void {
    const term = this.heldBy(address);
    if (term !== undefined) this.#leaving.set(address, term);
    this.held.delete(address);
  }

  /** The kernel does not carry the address for us. */
  gone(address: Address): void {
    this.held.delete(address);
    this.#leaving.delete(address);
  }

  /** The term under which the kernel carries an address; undefined if it does not, or without a placement. */
  heldBy(address: Address): Term | undefined {
    const placed = this.held.has(address) ? this.placed.get(address)?.term : undefined;
    return placed ?? this.#leaving.get(address);
  }

  /** Every address that the kernel carries for us, including those that are being removed. */
  carried(): Set<Address> {
    return new Set([...this.held.keys(), ...this.#leaving.keys()]);
  }

  /** The kernel no longer holds the committed rules of a VIP. */
  lose(key: Address): void {
    const good = this.committed.get(key);
    if (good !== undefined && this.#refusals.rules.has(key)) this.#lost.set(key, good);
    this.committed.delete(key);
  }

  /** Every VIP that is wanted, placed or committed. */
  keys(): Set<Address> {
    const keys = new Set(this.wanted.keys());
    for (const key of this.committed.keys()) keys.add(key);
    for (const key of this.placed.keys()) keys.add(key);
    return keys;
  }

  /** True for a VIP outside --allow that is not placed here: it is for nodes with other ranges. */
  isElsewhere({ code, key }: Refusal): boolean {
    return code === 'Forbidden' && !this.placed.has(key);
  }

  get refusals(): Refusal[] {
    return [...this.#refusals.rules.values(), ...this.#refusals.placements.values()];
  }

  hasRefusals(table: TableName): boolean {
    return this.#refusals[table].size > 0;
  }

  /** Whether the VIP is placed on this node and wanted. */
  isPlaced(key: Address): boolean {
    return this.placed.has(key) && this.wanted.has(key);
  }

  /** Whether the kernel should carry the address: it is placed here and has committed rules. */
  shouldHold(key: Address): boolean {
    return this.isPlaced(key) && this.committed.has(key);
  }

  /** Like shouldHold, but an address that is not held yet must have its target rules, not older ones. */
  mayHold(key: Address): boolean {
    return this.shouldHold(key) && (this.held.has(key) || this.isCommitted(key));
  }
}
