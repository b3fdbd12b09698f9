// The filter of this node: the VIPs that changed are committed, and all of it is held against a dump where
// there is doubt.

import { diff } from '../../dialects/delta.ts';
import type { Delta, KernelObject, KernelObjects } from '../../dialects/dialect.ts';
import type { Kernel, Soon } from '../../host/kernel.ts';
import type { Receipt } from '../../netlink/ack.ts';
import type { Address } from '../../state/address.ts';
import type { Needs } from '../../state/desired-state.ts';
import type { VirtualIp } from '../../state/virtual-ip.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { acceptedConstants } from './accepted-constants.ts';
import { lostIn, type Targets } from './blame.ts';
import { addCapacities, capacitiesOfLeaving, noCapacities } from './capacities.ts';
import { Commits, type CommitsParts, type Outcome } from './commits.ts';
import { Sender, type SenderParts } from './sender.ts';

export interface RulesParts extends CommitsParts, SenderParts {
  readonly kernel: Pick<Kernel, 'commit' | 'dump'>;
  /**
   * Everything is in force by the word of a controller: only now does this firewall take the place of another
   * one of ours. Said each time.
   */
  readonly onComplete: () => void;
  /** The node has the address for itself: a filter for it would cut the node off. */
  readonly isOwn: (key: Address) => boolean;
  /** Lets go of addresses whose filter is lost, before anything else is written. */
  readonly withdraw: (keys: Iterable<Address>) => Promise<void>;
  /** Lets go of all addresses of ours but these, whether anybody knows of them or not. */
  readonly retain: (isGuarded: (key: Address) => boolean) => Promise<void>;
}

interface Reading {
  /** What the dump shows. */
  readonly have: KernelObjects;
  /** What of it stays, though nobody knows whose it is. */
  readonly found: readonly KernelObject[];
  readonly targets: Targets;
  readonly inSync: boolean;
}

interface Reconciled {
  readonly outcome: Outcome;
  /** How many objects were not as they should have been. */
  readonly repaired: number;
}

export class Rules {
  readonly #parts: RulesParts;
  readonly #sender: Sender;
  readonly #commits: Commits;
  /** The kernel holds what the ledger says is committed, and nothing of ours beside it. */
  #exact = false;
  /** The table is one of another make, and stays that until the agent is in sync. */
  #isAnothers = false;

  constructor(parts: RulesParts) {
    this.#parts = parts;
    this.#sender = new Sender(parts, parts.firewall.dialect);
    this.#commits = new Commits(parts, this.#sender);
  }

  /** Commits that were tried. */
  get commits(): number {
    return this.#sender.tried;
  }

  /** In the kernel's words, what kept the last commit that was disturbed from being one. */
  get disturbance(): string {
    return this.#commits.disturbance;
  }

  /** The kernel holds something that is not wanted, and that goes when the agent is in sync. */
  get isPutOff(): boolean {
    return this.#isAnothers || this.#commits.hasOrphans;
  }

  /** Commits the VIPs of `keys`. Costs what they cost, whatever else is in the table. */
  commit(keys: ReadonlySet<Address>): Soon<Outcome> {
    const outcome = this.#commits.commit(keys);
    const judge = (judged: Outcome): Outcome => {
      if (judged === 'unsure') this.#exact = false;
      return judged;
    };
    return outcome instanceof Promise ? outcome.then(judge) : judge(outcome);
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
    for (const key of ledger.keys()) if (!ledger.isCommitted(key)) keys.add(key);
    if ((await this.commit(keys)) === 'unsure') return false;
    this.#parts.onComplete();
    return true;
  }

  /**
   * Brings the kernel from what a dump shows to what is wanted. Before the agent is in sync nothing is taken
   * away that serves a VIP: the kernel may know more than the disk.
   */
  async reconcile(inSync: boolean): Promise<Reconciled> {
    const { kernel, firewall, ledger, census, isOwn } = this.#parts;
    this.#exact = false;
    const have = firewall.dialect.decode(await kernel.dump(firewall.dialect.dumps));
    census.keep(have.needs);
    if (inSync) census.release();
    const keys = new Set([...ledger.wanted.keys(), ...ledger.committed.keys()]);
    this.#commits.count(keys);
    const targets = new Map([...keys].map((key) => [key, ledger.target(key)]));
    const vips = [...targets.values()].filter((vip) => vip !== undefined);
    // What is not wanted stays until the agent is in sync, also where a set is replaced by a larger one; but
    // for what would cut this node off.
    const isBarred = ({ owner }: KernelObject): boolean => owner !== null && isOwn(owner);
    const found = inSync ? [] : have.elements.filter((object) => !isBarred(object));
    const { needs, delta } = this.#way(have, found, vips);
    // A table of another make is only replaced by somebody who knows everything that it has to hold.
    this.#isAnothers = !inSync && have.needs === null && firewall.replaces(delta);
    if (this.#isAnothers) return { outcome: 'committed', repaired: 0 };
    // In front of what only the kernel knows nothing of ours was found, and nobody could put it back.
    const part = firewall.guardedInPart(have);
    if (have.needs === null || part !== null)
      await this.#parts.retain(
        (key) => targets.get(key) !== undefined || (!inSync && part?.has(key) === true),
      );
    const reading = { have, found, targets, inSync };
    const receipt = await this.#mend(delta, reading);
    if (receipt.length > 0) return await this.#mendAround(receipt, reading);
    this.#commits.serve(needs);
    this.#commits.settle(targets, needs);
    this.#exact = !this.#commits.hasOrphans;
    if (inSync) this.#parts.onComplete();
    return { outcome: 'committed', repaired: delta.remove.length + delta.add.length };
  }

  /** What the kernel should hold whatever the VIPs are. */
  constants(): readonly KernelObject[] {
    return this.#commits.render(this.#commits.needs, []).constants;
  }

  /** All elements that it should hold now; each VIP is rendered when its own are asked for. */
  *elements(): Iterable<Iterable<KernelObject>> {
    for (const vip of this.#parts.ledger.committed.values())
      yield this.#commits.render(this.#commits.needs, [vip]).elements;
    yield this.#commits.orphans;
  }

  /** All that the kernel should hold now. */
  whole(): KernelObjects {
    return this.#commits.render(this.#commits.needs, this.#parts.ledger.committed.values());
  }

  /** From what a dump shows to these VIPs and what of it stays, in sets with room for both at once. */
  #way(have: KernelObjects, found: readonly KernelObject[], vips: readonly VirtualIp[]) {
    const { census, firewall } = this.#parts;
    const direct = (needs: Needs) => {
      return { needs, delta: diff(have, this.#commits.renderBeside(found, needs, vips)) };
    };
    census.settle();
    census.reserve(noCapacities);
    const way = direct(census.needs());
    census.reserve(addCapacities(capacitiesOfLeaving(way.delta, firewall), this.#commits.orphanCapacities()));
    return census.needs() === way.needs ? way : direct(census.needs());
  }

  /** Where it fails, what the dump shows is what is committed. */
  async #mend(delta: Delta, reading: Reading): Promise<Receipt<KernelObject>> {
    let receipt: Receipt<KernelObject> | undefined;
    try {
      receipt = await this.#sender.send(delta);
      return receipt;
    } finally {
      if (receipt?.length !== 0) await this.#believe(reading);
    }
  }

  /**
   * The table is first made what it would be without the VIPs that the dump does not show. Those are
   * committed then as if they were new, so that each can be refused by itself.
   */
  async #mendAround(
    receipt: Receipt<KernelObject>,
    { have, found, targets, inSync }: Reading,
  ): Promise<Reconciled> {
    const { ledger, census } = this.#parts;
    const unsure = { outcome: 'unsure', repaired: 0 } as const;
    if (this.#commits.blame(receipt, targets) === 'unsure') return unsure;
    this.#commits.countBack(targets.keys());
    const needs = census.needs();
    const known = this.#commits.renderBeside(found, needs, ledger.committed.values());
    const { remove, add } = diff(have, known);
    if ((await this.#sender.send({ remove, add })).length > 0) return unsure;
    this.#commits.serve(needs);
    const rest = [...targets].filter(([, vip]) => inSync || vip !== undefined);
    const outcome = await this.#commits.commit(new Set(rest.map(([key]) => key)));
    if (outcome === 'committed' && inSync) this.#parts.onComplete();
    return { outcome, repaired: remove.length + add.length };
  }

  /** Better no address than one without its filter: where the dump does not show it, the address goes. */
  async #believe({ have, targets }: Reading): Promise<void> {
    const { ledger, firewall, withdraw } = this.#parts;
    const known = [...targets].flatMap(([key, target]) => ledger.committed.get(key) ?? target ?? []);
    const needs = have.needs ?? this.#commits.needs;
    const wanted = this.#commits.render(needs, known);
    const siblings = firewall.siblings();
    const constants = acceptedConstants(wanted.constants, have.constants, { siblings, needs });
    const want = { constants, elements: firewall.inSetsOf(constants, wanted.elements), needs };
    const guards: Firewall['guardsAnyway'] = (object, isWanted) => firewall.guardsAnyway(object, isWanted);
    const lost = lostIn(have, want, { vips: known, guards });
    for (const vip of known) ledger.committed.set(vip.address, vip);
    for (const key of lost) ledger.lose(key);
    await withdraw(lost);
  }
}
