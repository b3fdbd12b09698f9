// Commits VIPs to the kernel, a slice at a time. Leaves out the VIPs that the kernel refuses; each keeps its
// last good state.

import { diff } from '../../dialects/delta.ts';
import type { KernelObject, KernelObjects, Transaction } from '../../dialects/dialect.ts';
import type { Soon } from '../../host/kernel.ts';
import { describeErrno, type Receipt } from '../../netlink/ack.ts';
import type { Address } from '../../state/address.ts';
import type { Capacities, HeldAddress, Needs } from '../../state/desired-state.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { VirtualIp } from '../../state/virtual-ip.ts';
import type { Firewall } from '../firewall/firewall.ts';
import type { Ledger } from '../ledger.ts';
import { blameOf, disturbanceIn, type Targets } from './blame.ts';
import { noCapacities, sameCapacities } from './capacities.ts';
import type { Census } from './census.ts';
import { Orphans } from './orphans.ts';
import type { Sender } from './sender.ts';
import { slices, sliceVips } from './slices.ts';

/** How a commit ended. After `unsure` the kernel must be read before the next write. */
export type Outcome = 'committed' | 'unsure';

const noAddresses: readonly HeldAddress[] = [];

export interface CommitsParts {
  readonly firewall: Firewall;
  readonly ledger: Ledger;
  readonly census: Census;
  /** The kernel refused a VIP's new rules, with these words. */
  readonly refuse: (key: Address, services: readonly ServiceKey[], words: string) => void;
  /** The kernel now holds these VIPs as they were sent, or no longer holds them. */
  readonly committed: (keys: Iterable<Address>) => void;
  /** The kernel refused rules that are no longer wanted: the VIP is neither in force nor refused. */
  readonly overtaken: () => void;
}

/** A slice of VIPs ready to be sent: their wanted state and the transaction. */
interface PreparedSlice {
  readonly targets: Targets;
  /** What the constant part serves before (`from`) and after the transaction. */
  readonly from: Needs;
  readonly needs: Needs;
  /** Null if the kernel already holds everything. */
  readonly transaction: Transaction<KernelObject> | null;
}

export class Commits {
  readonly #parts: CommitsParts;
  readonly #orphans: Orphans;
  readonly #sender: Sender;
  /** The needs that the constant part in the kernel serves; those of no VIP until it is known. */
  #needs: Needs;
  /** Why the last disturbed commit failed, in the kernel's words. */
  disturbance = '';

  constructor(parts: CommitsParts, sender: Sender) {
    this.#parts = parts;
    this.#needs = parts.census.needs();
    this.#orphans = new Orphans(parts.firewall);
    this.#sender = sender;
  }

  get needs(): Needs {
    return this.#needs;
  }

  /** The constant part for these needs is in the kernel. */
  serve(needs: Needs): void {
    this.#needs = needs;
  }

  /** Commits the VIPs of `keys`. The cost does not depend on the size of the table. */
  commit(keys: ReadonlySet<Address>): Soon<Outcome> {
    const { census, ledger } = this.#parts;
    this.count(keys);
    const coming = this.hasOrphans ? [...keys].flatMap((key) => ledger.target(key) ?? []) : [];
    census.reserve(this.orphanCapacities(coming));
    if (keys.size > sliceVips || this.#isTooSmall()) return this.#commitMany(keys);
    return this.#carryOut(this.#prepare(keys));
  }

  /** Counts the VIPs in the census as the kernel is about to hold them. */
  count(keys: Iterable<Address>): void {
    const { census, ledger } = this.#parts;
    for (const key of keys) census.set(key, ledger.target(key));
  }

  /** Counts the VIPs in the census as the kernel holds them. */
  countBack(keys: Iterable<Address>): void {
    const { census, ledger } = this.#parts;
    for (const key of keys) census.set(key, ledger.committed.get(key));
    census.settle();
  }

  render(needs: Needs, vips: Iterable<VirtualIp>): KernelObjects {
    return this.#parts.firewall.dialect.render({ needs, vips, held: noAddresses });
  }

  /** The kernel holds elements of no known VIP. */
  get hasOrphans(): boolean {
    return !this.#orphans.isEmpty;
  }

  get orphans(): Iterable<KernelObject> {
    return this.#orphans.elements;
  }

  /** The capacities of the orphans that belong to none of these VIPs. */
  orphanCapacities(vips: readonly VirtualIp[] = []): Capacities {
    return this.hasOrphans
      ? this.#orphans.capacitiesBeside(this.render(this.needs, vips).elements)
      : noCapacities;
  }

  /**
   * Renders the VIPs, with the elements of `found` that no VIP renders: those are the orphans from now on.
   */
  renderBeside(found: Iterable<KernelObject>, needs: Needs, vips: Iterable<VirtualIp>): KernelObjects {
    return this.#orphans.take(found, this.render(needs, vips));
  }

  /** Records the targets as committed: what was sent, not what is wanted by now. */
  settle(targets: Targets, needs: Needs): Outcome {
    const { ledger, census, committed } = this.#parts;
    if (needs !== this.needs) this.serve(needs);
    census.settle();
    for (const [key, vip] of targets) {
      if (vip === undefined) ledger.committed.delete(key);
      else ledger.committed.set(key, vip);
      if (vip !== undefined && this.hasOrphans) this.#orphans.claim(this.render(needs, [vip]).elements);
    }
    committed(targets.keys());
    return 'committed';
  }

  /** Refuses the VIPs that the receipt blames. */
  blame(receipt: Receipt<KernelObject>, targets: Targets): Outcome {
    const { firewall, ledger, refuse, overtaken } = this.#parts;
    const disturbed = disturbanceIn(receipt);
    this.disturbance = disturbed ?? describeFirst(receipt);
    if (disturbed !== undefined) return 'unsure';
    const describe = (object: KernelObject): string => firewall.describe(object);
    // Only the first refusal counts: later elements may not fit because its VIP filled the set.
    const blames = blameOf(receipt.slice(0, 1), targets, { ledger, describe });
    for (const { key, services, reason } of blames) refuse(key, services, reason);
    if (blames.length === 0 && targets.size === 1) overtaken();
    // Without atomic steps the kernel may hold any part of the rest.
    return firewall.atomic ? 'committed' : 'unsure';
  }

  /** Commits slice by slice: not all objects and bytes of a cold load are in memory at once. */
  async #commitMany(keys: ReadonlySet<Address>): Promise<Outcome> {
    const all = [...slices(keys)];
    let ready: PreparedSlice | undefined;
    for (const [index, slice] of all.entries()) {
      const outcome = this.#isAsReady(ready) ? this.#carryOut(ready) : this.#bring(slice);
      // Prepares the next slice while the kernel commits this one.
      const next = all[index + 1];
      ready = next !== undefined && outcome instanceof Promise ? this.#prepare(next) : undefined;
      if ((await outcome) === 'unsure') return 'unsure';
    }
    return 'committed';
  }

  /**
   * Commits the VIPs as wanted now. Sets that are too small are enlarged first, which needs all their
   * elements.
   */
  async #bring(keys: ReadonlySet<Address>): Promise<Outcome> {
    for (this.count(keys); this.#isTooSmall(); this.count(keys))
      if ((await this.#grow()) === 'unsure') return 'unsure';
    return await this.#carryOut(this.#prepare(keys));
  }

  /** The constant part is the one that the slice was prepared against, and needs no change. */
  #isAsReady(slice: PreparedSlice | undefined): slice is PreparedSlice {
    return slice !== undefined && slice.from === this.needs && slice.needs === this.needs;
  }

  #isTooSmall(): boolean {
    const { census, ledger } = this.#parts;
    return (
      (this.hasOrphans || ledger.committed.size > 0) &&
      !sameCapacities(census.needs().capacities, this.needs.capacities)
    );
  }

  /** Replaces sets by larger ones with the same elements. No packet sees a difference. */
  async #grow(): Promise<Outcome> {
    const { census, ledger } = this.#parts;
    const needs = { ...this.needs, capacities: census.needs().capacities };
    const vips = [...ledger.committed.values()];
    const have = this.renderBeside(this.#orphans.elements, this.needs, vips);
    const want = this.renderBeside(this.#orphans.elements, needs, vips);
    const receipt = await this.#sender.send(diff(have, want));
    this.disturbance = describeFirst(receipt);
    if (receipt.length > 0) return 'unsure';
    this.serve(needs);
    return 'committed';
  }

  #prepare(keys: ReadonlySet<Address>): PreparedSlice {
    const { ledger, census } = this.#parts;
    this.count(keys);
    const needs = census.needs();
    const have: VirtualIp[] = [];
    const want: VirtualIp[] = [];
    const targets = new Map<Address, VirtualIp | undefined>();
    for (const key of keys) {
      const before = ledger.committed.get(key);
      const after = ledger.target(key);
      targets.set(key, after);
      if (before !== undefined) have.push(before);
      if (after !== undefined) want.push(after);
    }
    const delta = diff(this.render(this.needs, have), this.render(needs, want));
    return { targets, from: this.needs, needs, transaction: this.#sender.encode(delta) };
  }

  #carryOut({ targets, needs, transaction }: PreparedSlice): Soon<Outcome> {
    const receipt = this.#sender.transmit(transaction);
    const judge = (answer: Receipt<KernelObject>): Soon<Outcome> =>
      answer.length === 0 ? this.settle(targets, needs) : this.#attemptHalves(answer, targets);
    return receipt instanceof Promise ? receipt.then(judge) : judge(receipt);
  }

  /**
   * Refuses the blamed VIPs and commits the rest in halves. The kernel names only few of many VIPs that it
   * refuses, and none of them may keep the rest out.
   */
  async #attemptHalves(receipt: Receipt<KernelObject>, targets: Targets): Promise<Outcome> {
    const { ledger } = this.#parts;
    if (this.blame(receipt, targets) === 'unsure') return 'unsure';
    // The needs of a refused VIP must not be part of another VIP's commit.
    this.countBack(targets.keys());
    // A single VIP is refused, or wanted otherwise by now; the next pass commits that.
    if (targets.size === 1) return 'committed';
    const left = [...targets.keys()].filter((key) => ledger.target(key) !== ledger.committed.get(key));
    const middle = Math.ceil(left.length / 2);
    for (const half of [left.slice(0, middle), left.slice(middle)]) {
      if (half.length > 0 && (await this.#bring(new Set(half))) === 'unsure') return 'unsure';
    }
    return 'committed';
  }
}

function describeFirst([refused]: Receipt<KernelObject>): string {
  return refused === undefined ? '' : describeErrno(refused.errno, refused.words);
}
