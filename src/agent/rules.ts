// Rules on their way into the kernel: the VIPs that changed, or all of them against a dump. Refused ones are
// left out by name, and their last good state stays.

import { diff, isEmpty } from '../dialects/delta.ts';
import type { Delta, KernelObject, KernelObjects } from '../dialects/dialect.ts';
import type { Kernel, Soon } from '../host/kernel.ts';
import type { Receipt } from '../netlink/ack.ts';
import type { Address } from '../state/address.ts';
import type { HeldAddress, Needs } from '../state/desired-state.ts';
import type { ServiceKey } from '../state/service.ts';
import type { VirtualIp } from '../state/virtual-ip.ts';
import { blameOf, disturbanceIn, lostIn, type Targets } from './blame.ts';
import { type Census, sameCapacities } from './census.ts';
import type { Firewall } from './firewall.ts';
import type { Ledger } from './ledger.ts';
import { slices, sliceVips } from './slices.ts';

/**
 * How a commit ended: `unsure` means that what the kernel holds has to be read before anything else is
 * written.
 */
export type Outcome = 'committed' | 'unsure';

/** A refused VIP is left out and the rest tried again, at most this often. */
const tries = 8;

const noAddresses: readonly HeldAddress[] = [];

export interface RulesParts {
  readonly kernel: Pick<Kernel, 'commit' | 'dump'>;
  readonly firewall: Firewall;
  readonly ledger: Ledger;
  readonly census: Census;
  /** A VIP's new rules were refused, in the kernel's words. */
  readonly refuse: (key: Address, services: readonly ServiceKey[], words: string) => void;
  /** These VIPs are in the kernel as wanted now, or gone from it. */
  readonly committed: (keys: Iterable<Address>) => void;
  /** Takes away what another firewall of ours has left in this kernel. */
  readonly retireOthers: () => Promise<void>;
  /** How long a commit took, in microseconds. */
  readonly observe: (micros: number) => void;
}

export class Rules {
  readonly #parts: RulesParts;
  #needs: Needs;
  /** The kernel holds what the ledger says is committed, and nothing of ours beside it. */
  #exact = false;
  #alone = false;
  /** Commits that were tried. */
  commits = 0;
  /** In the kernel's words, what kept the last commit that was disturbed from being one. */
  disturbance = '';
  /** VIPs of which the last dump did not show what it should, and whose repair failed. */
  lost: ReadonlySet<Address> = new Set();

  constructor(parts: RulesParts) {
    this.#parts = parts;
    this.#needs = parts.census.needs();
  }

  /** Commits the VIPs of `keys`. Costs what they cost, whatever else is in the table. */
  commit(keys: ReadonlySet<Address>): Soon<Outcome> {
    return keys.size > sliceVips ? this.#commitMany(keys) : this.#attempt(keys, 1);
  }

  /**
   * From here on what is not wanted may go. False where a reading has left something over, or there was none
   * after the last disturbance: then everything has to be read.
   */
  async release(): Promise<boolean> {
    const { ledger, census } = this.#parts;
    if (!this.#exact) return false;
    census.release();
    const keys = new Set<Address>();
    for (const key of ledger.keys()) if (ledger.target(key) !== ledger.committed.get(key)) keys.add(key);
    if ((await this.commit(keys)) === 'unsure') return false;
    await this.#stayAlone();
    return true;
  }

  /** Only once it is complete by the word of a controller does this firewall take the place of another. */
  async #stayAlone(): Promise<void> {
    if (!this.#alone) await this.#parts.retireOthers();
    this.#alone = true;
  }

  /**
   * Brings the kernel from what a dump shows to what is wanted. Before the agent is in sync nothing is taken
   * away that serves a VIP: the kernel may know more than the disk. Returns how many objects were not as they
   * should have been.
   */
  async reconcile(inSync: boolean): Promise<{ outcome: Outcome; repaired: number }> {
    const { kernel, firewall, ledger, census } = this.#parts;
    this.#exact = false;
    this.lost = new Set();
    const have = firewall.dialect.decode(await kernel.dump(firewall.dialect.dumps));
    census.keep(have.needs);
    if (inSync) census.release();
    const keys = new Set([...ledger.wanted.keys(), ...ledger.committed.keys()]);
    this.#count(keys);
    const targets = new Map([...keys].map((key) => [key, ledger.target(key)]));
    const needs = census.needs();
    const vips = [...targets.values()].filter((vip) => vip !== undefined);
    const delta = diff(have, this.#render(needs, vips));
    // A table of another make is only replaced by somebody who knows everything that it has to hold.
    if (!inSync && have.needs === null && firewall.replaces(delta))
      return { outcome: 'committed', repaired: 0 };
    const remove = inSync ? delta.remove : delta.remove.filter((object) => object.owner === null);
    const allowed = { remove, add: delta.add };
    if (!isEmpty(allowed)) {
      const receipt = await this.#repair(allowed, have, targets);
      if (receipt.length > 0) {
        // Refused ones are known by name now; the rest is tried again against a new dump.
        this.#blame(receipt, targets);
        return { outcome: 'unsure', repaired: 0 };
      }
    }
    this.#settle(targets, needs);
    this.#exact = remove.length === delta.remove.length;
    if (inSync) await this.#stayAlone();
    return { outcome: 'committed', repaired: remove.length + delta.add.length };
  }

  /** What the kernel should hold whatever the VIPs are. */
  constants(): readonly KernelObject[] {
    return this.#render(this.#needs, []).constants;
  }

  /** All that the kernel should hold now. */
  whole(): KernelObjects {
    return this.#render(this.#needs, this.#parts.ledger.committed.values());
  }

  /**
   * A cold load, or nearly one: some VIPs after the other, so that never all of them are objects and bytes at
   * once. Where sets have to be replaced, all that is in them goes with them.
   */
  async #commitMany(keys: ReadonlySet<Address>): Promise<Outcome> {
    const { census, ledger } = this.#parts;
    this.#count(keys);
    if (census.needs() !== this.#needs && ledger.committed.size > 0) return this.#attempt(keys, 1);
    for (const slice of slices(keys)) if ((await this.#attempt(slice, 1)) === 'unsure') return 'unsure';
    return 'committed';
  }

  #attempt(keys: ReadonlySet<Address>, attempt: number): Soon<Outcome> {
    const { ledger, census } = this.#parts;
    this.#count(keys);
    const needs = census.needs();
    // Larger sets are new sets: everything that was in the old ones has to be put into them.
    const all = sameCapacities(needs.capacities, this.#needs.capacities)
      ? keys
      : new Set([...keys, ...ledger.committed.keys()]);
    const have: VirtualIp[] = [];
    const want: VirtualIp[] = [];
    const targets = new Map<Address, VirtualIp | undefined>();
    for (const key of all) {
      const before = ledger.committed.get(key);
      const after = ledger.target(key);
      targets.set(key, after);
      if (before !== undefined) have.push(before);
      if (after !== undefined) want.push(after);
    }
    const delta = diff(this.#render(this.#needs, have), this.#render(needs, want));
    const receipt = isEmpty(delta) ? [] : this.#send(delta);
    const judge = (answer: Receipt<KernelObject>): Soon<Outcome> => {
      if (answer.length === 0) return this.#settle(targets, needs);
      const outcome = this.#blame(answer, targets);
      if (outcome === 'unsure') this.#exact = false;
      return outcome === 'unsure' || attempt === tries ? 'unsure' : this.#attempt(keys, attempt + 1);
    };
    return receipt instanceof Promise ? receipt.then(judge) : judge(receipt);
  }

  #send(delta: Delta): Soon<Receipt<KernelObject>> {
    const { kernel, firewall, observe } = this.#parts;
    const beganAtMs = performance.now();
    const done = (receipt: Receipt<KernelObject>): Receipt<KernelObject> => {
      observe((performance.now() - beganAtMs) * 1000);
      return receipt;
    };
    this.commits++;
    const receipt = kernel.commit(firewall.dialect.encode(delta));
    return receipt instanceof Promise ? receipt.then(done) : done(receipt);
  }

  /** Where it fails, what the dump shows is what is committed, whatever was acknowledged. */
  async #repair(delta: Delta, have: KernelObjects, targets: Targets): Promise<Receipt<KernelObject>> {
    const { ledger } = this.#parts;
    let receipt: Receipt<KernelObject> | undefined;
    try {
      receipt = await this.#send(delta);
      return receipt;
    } finally {
      if (receipt?.length !== 0) {
        const known = [...targets].flatMap(([key, target]) => ledger.committed.get(key) ?? target ?? []);
        this.lost = lostIn(have, this.#render(have.needs ?? this.#needs, known), known);
        for (const vip of known) ledger.committed.set(vip.address, vip);
        for (const key of this.lost) ledger.committed.delete(key);
      }
    }
  }

  /** The census counts what the kernel is about to hold. */
  #count(keys: Iterable<Address>): void {
    const { census, ledger } = this.#parts;
    for (const key of keys) census.set(key, ledger.target(key));
  }

  #render(needs: Needs, vips: Iterable<VirtualIp>): KernelObjects {
    return this.#parts.firewall.dialect.render({ needs, vips, held: noAddresses });
  }

  /** While the kernel was busy other things may have come to be wanted than it was told. */
  #settle(targets: Targets, needs: Needs): Outcome {
    const { ledger, committed } = this.#parts;
    this.#needs = needs;
    for (const [key, vip] of targets) {
      if (vip === undefined) ledger.committed.delete(key);
      else ledger.committed.set(key, vip);
    }
    committed(targets.keys());
    return 'committed';
  }

  /** Names the VIPs to blame. */
  #blame(receipt: Receipt<KernelObject>, targets: Targets): Outcome {
    const { firewall, ledger, refuse } = this.#parts;
    const disturbed = disturbanceIn(receipt);
    if (disturbed !== undefined) {
      this.disturbance = disturbed;
      return 'unsure';
    }
    const describe = (object: KernelObject): string => firewall.describe(object);
    for (const { key, services, reason } of blameOf(receipt, targets, { ledger, describe }))
      refuse(key, services, reason);
    // What else was in the step may be in the kernel, or not.
    return firewall.atomic ? 'committed' : 'unsure';
  }
}
