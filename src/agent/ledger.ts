// What the agent knows: what it was told, what its kernel holds, and what could not be had, each by address.

import type { Refusal, TableName } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { HeldAddress } from '../state/desired-state.ts';
import { SteadyMap } from '../state/steady-map.ts';
import { compareTerms, type Term } from '../state/term.ts';
import type { Placement, VirtualIp } from '../state/virtual-ip.ts';

/** `wanted` and `placed` are the controller's word, `committed` and `held` the kernel's. */
export class Ledger {
  readonly wanted: Map<Address, VirtualIp> = new SteadyMap();
  /** Wanted too, but no VIP on this node, which has the address for itself. */
  readonly barred: Map<Address, VirtualIp> = new Map();
  readonly placed: Map<Address, Placement> = new Map();
  readonly committed: Map<Address, VirtualIp> = new SteadyMap();
  readonly held: Map<Address, HeldAddress> = new Map();
  /** Placed VIPs that no node is known to have held: somebody else may have the address. */
  readonly firstClaims: Set<Address> = new Set();
  /** Addresses on their way out, by the term that each was held by. */
  readonly #leaving = new Map<Address, Term>();
  /** What was committed of refused VIPs before the kernel lost it. */
  readonly #lost = new Map<Address, VirtualIp>();
  readonly #refusals: { readonly [Name in TableName]: Map<Address, Refusal> } = {
    rules: new Map(),
    placements: new Map(),
  };
  /** What was refused, and is tried anew. */
  readonly #retried: { readonly [Name in TableName]: Set<Address> } = {
    rules: new Set(),
    placements: new Set(),
  };

  /** True if the refusal is news. */
  refuse(refusal: Refusal): boolean {
    const { table, key } = refusal;
    const known = this.#refusals[table].get(key);
    this.#refusals[table].set(key, refusal);
    this.#retried[table].delete(key);
    return known?.reason !== refusal.reason;
  }

  /** What was refused is to be tried anew, if anything was. */
  retry(table: TableName, key: Address): void {
    if (table === 'rules') this.#lost.delete(key);
    if (this.#refusals[table].delete(key)) this.#retried[table].add(key);
  }

  /** True if there was a refusal to take back. */
  accept(table: TableName, key: Address): boolean {
    this.retry(table, key);
    return this.#retried[table].delete(key);
  }

  refusal(table: TableName, key: Address): Refusal | undefined {
    return this.#refusals[table].get(key);
  }

  /**
   * What the kernel should hold of a VIP. One that the kernel refused keeps its last good state until
   * something else is wanted; one that is wanted no more, or forbidden here, keeps it as long as its address
   * is held.
   */
  target(key: Address): VirtualIp | undefined {
    const committed = this.committed.get(key);
    if (this.#refusals.rules.get(key)?.code === 'KernelRefused') return committed ?? this.#lost.get(key);
    return this.wanted.get(key) ?? (this.held.has(key) ? committed : undefined);
  }

  /** Whether the kernel holds of a VIP what it should. */
  isCommitted(key: Address): boolean {
    return this.target(key) === this.committed.get(key);
  }

  /** Whether the kernel holds of a VIP what is wanted, and not just what was good of it before. */
  isInForce(key: Address): boolean {
    const wanted = this.wanted.get(key);
    return wanted !== undefined && wanted === this.committed.get(key);
  }

  /** By the same term it stays a first claim until the kernel carries the address. */
  place(placement: Placement, isFirst: boolean): void {
    const { address, term } = placement;
    const known = this.placed.get(address);
    this.placed.set(address, placement);
    this.#leaving.delete(address);
    if (isFirst && !this.held.has(address)) this.firstClaims.add(address);
    else if (known === undefined || compareTerms(known.term, term) !== 0) this.firstClaims.delete(address);
  }

  /** Of all that is placed these are the first claims. Returns which of those before are none any more. */
  claimFirst(first: ReadonlySet<Address>): Address[] {
    const former = this.firstClaims.difference(first);
    for (const address of former) this.firstClaims.delete(address);
    for (const address of first)
      if (this.placed.has(address) && !this.held.has(address)) this.firstClaims.add(address);
    return [...former];
  }

  /** The address may still be there: until it is gone it counts as held by the term that it had. */
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

  /** The kernel is about to be told to carry the address no more. */
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

  /** The term by which the kernel carries an address, for as long as it does; undefined without one. */
  heldBy(address: Address): Term | undefined {
    const placed = this.held.has(address) ? this.placed.get(address)?.term : undefined;
    return placed ?? this.#leaving.get(address);
  }

  /** Every address that the kernel carries for us, those on their way out too. */
  carried(): Set<Address> {
    return new Set([...this.held.keys(), ...this.#leaving.keys()]);
  }

  /** The kernel no longer holds what was committed of a VIP. */
  lose(key: Address): void {
    const good = this.committed.get(key);
    if (good !== undefined && this.#refusals.rules.has(key)) this.#lost.set(key, good);
    this.committed.delete(key);
  }

  /** Every VIP that is told of, or in the kernel. */
  keys(): Set<Address> {
    return new Set([...this.wanted.keys(), ...this.committed.keys(), ...this.placed.keys()]);
  }

  get refusals(): Refusal[] {
    return [...this.#refusals.rules.values(), ...this.#refusals.placements.values()];
  }

  hasRefusals(table: TableName): boolean {
    return this.#refusals[table].size > 0;
  }

  /** Whether this node is the one to hold the VIP. */
  isPlaced(key: Address): boolean {
    return this.placed.has(key) && this.wanted.has(key);
  }

  /** Whether the kernel should carry the address: placed here, and behind a filter that is in force. */
  shouldHold(key: Address): boolean {
    return this.isPlaced(key) && this.committed.has(key);
  }

  /** The same, but that nobody meets a VIP that comes anew behind a filter that is not what is wanted now. */
  mayHold(key: Address): boolean {
    return this.shouldHold(key) && (this.held.has(key) || this.isCommitted(key));
  }
}
