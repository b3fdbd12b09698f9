// VIPs on their way into the kernel, some at a time. Refused ones are left out by name, and their last good
// state stays.

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
import { noCapacities } from './capacities.ts';
import { type Census, sameCapacities } from './census.ts';
import { Orphans } from './orphans.ts';
import type { Sender } from './sender.ts';
import { slices, sliceVips } from './slices.ts';

/** How a commit ended; after `unsure` the kernel has to be read before anything else is written. */
export type Outcome = 'committed' | 'unsure';

const noAddresses: readonly HeldAddress[] = [];

export interface CommitsParts {
  readonly firewall: Firewall;
  readonly ledger: Ledger;
  readonly census: Census;
  /** A VIP's new rules were refused, in the kernel's words. */
  readonly refuse: (key: Address, services: readonly ServiceKey[], words: string) => void;
  /** These VIPs are in the kernel as wanted now, or gone from it. */
  readonly committed: (keys: Iterable<Address>) => void;
  /** What the kernel refused of a VIP was wanted no more by then: it is neither in force nor refused. */
  readonly overtaken: () => void;
}

/** A slice of VIPs on its way: what is wanted of them, and what the kernel is to be told. */
interface PreparedSlice {
  readonly targets: Targets;
  /** What the constant part serves before it, and behind it. */
  readonly from: Needs;
  readonly needs: Needs;
  /** Null where the kernel has it all. */
  readonly transaction: Transaction<KernelObject> | null;
}

export class Commits {
  readonly #parts: CommitsParts;
  readonly #orphans: Orphans;
  readonly #sender: Sender;
  /** What the constant part in the kernel serves, and as it was put there: none until it is known. */
  #needs: Needs;
  /** In the kernel's words, what kept the last commit that was disturbed from being one. */
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

  /** The constant part for these is in the kernel. */
  serve(needs: Needs): void {
    this.#needs = needs;
  }

  /** Commits the VIPs of `keys`. Costs what they cost, whatever else is in the table. */
  commit(keys: ReadonlySet<Address>): Soon<Outcome> {
    const { census, ledger } = this.#parts;
    this.count(keys);
    const coming = this.hasOrphans ? [...keys].flatMap((key) => ledger.target(key) ?? []) : [];
    census.reserve(this.orphanCapacities(coming));
    if (keys.size > sliceVips || this.#isTooSmall()) return this.#commitMany(keys);
    return this.#carryOut(this.#prepare(keys));
  }

  /** The census counts what the kernel is about to hold. */
  count(keys: Iterable<Address>): void {
    const { census, ledger } = this.#parts;
    for (const key of keys) census.set(key, ledger.target(key));
  }

  /** The census counts what the kernel holds. */
  countBack(keys: Iterable<Address>): void {
    const { census, ledger } = this.#parts;
    for (const key of keys) census.set(key, ledger.committed.get(key));
    census.settle();
  }

  render(needs: Needs, vips: Iterable<VirtualIp>): KernelObjects {
    return this.#parts.firewall.dialect.render({ needs, vips, held: noAddresses });
  }

  /** The kernel holds elements that no VIP we know of has. */
  get hasOrphans(): boolean {
    return !this.#orphans.isEmpty;
  }

  /** Those elements. */
  get orphans(): Iterable<KernelObject> {
    return this.#orphans.elements;
  }

  /** The capacities that orphans need beside these VIPs, who may have some of them. */
  orphanCapacities(vips: readonly VirtualIp[] = []): Capacities {
    return this.hasOrphans
      ? this.#orphans.capacitiesBeside(this.render(this.needs, vips).elements)
      : noCapacities;
  }

  /** Rendered, with those that were found beside it kept from now on, and put in again where a set grows. */
  renderBeside(found: Iterable<KernelObject>, needs: Needs, vips: Iterable<VirtualIp>): KernelObjects {
    return this.#orphans.take(found, this.render(needs, vips));
  }

  /** While the kernel was busy other things may have come to be wanted than it was told. */
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

  /** Names the VIPs to blame. */
  blame(receipt: Receipt<KernelObject>, targets: Targets): Outcome {
    const { firewall, ledger, refuse, overtaken } = this.#parts;
    const disturbed = disturbanceIn(receipt);
    this.disturbance = disturbed ?? describeFirst(receipt);
    if (disturbed !== undefined) return 'unsure';
    const describe = (object: KernelObject): string => firewall.describe(object);
    // Those behind it may have been refused for what the first had filled.
    const blames = blameOf(receipt.slice(0, 1), targets, { ledger, describe });
    for (const { key, services, reason } of blames) refuse(key, services, reason);
    if (blames.length === 0 && targets.size === 1) overtaken();
    // What else was in the step may be in the kernel, or not.
    return firewall.atomic ? 'committed' : 'unsure';
  }

  /** A cold load, or nearly one, must not have all of them as objects and bytes at once. */
  async #commitMany(keys: ReadonlySet<Address>): Promise<Outcome> {
    const all = [...slices(keys)];
    let ready: PreparedSlice | undefined;
    for (const [index, slice] of all.entries()) {
      const outcome = this.#isAsReady(ready) ? this.#carryOut(ready) : this.#bring(slice);
      // The kernel and this thread are at work at the same time.
      const next = all[index + 1];
      ready = next !== undefined && outcome instanceof Promise ? this.#prepare(next) : undefined;
      if ((await outcome) === 'unsure') return 'unsure';
    }
    return 'committed';
  }

  /**
   * Some VIPs as they are wanted by now. Sets that have become too small for them are made larger first, with
   * all that is in them: no slice has that.
   */
  async #bring(keys: ReadonlySet<Address>): Promise<Outcome> {
    for (this.count(keys); this.#isTooSmall(); this.count(keys))
      if ((await this.#grow()) === 'unsure') return 'unsure';
    return await this.#carryOut(this.#prepare(keys));
  }

  /** Made ready while the kernel was at work, and the constant part is still what it was then. */
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

  /** Nothing changes meanwhile that a packet could tell. */
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
   * Who is to blame is left out by name, and the others go in by halves: of many that it would not take the
   * kernel names few, and none of those may keep the rest out.
   */
  async #attemptHalves(receipt: Receipt<KernelObject>, targets: Targets): Promise<Outcome> {
    const { ledger } = this.#parts;
    if (this.blame(receipt, targets) === 'unsure') return 'unsure';
    // What one VIP needs of the table must not be asked for on behalf of another.
    this.countBack(targets.keys());
    // Of one alone something else may be wanted by now, and the next pass is for that.
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
