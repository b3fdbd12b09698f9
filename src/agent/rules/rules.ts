// The filter of this node. Commits the VIPs that changed; in doubt, compares the whole filter with a dump.

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
   * Called each time everything is in force and a controller has synced. Only then does this firewall replace
   * what another firewall of ours left.
   */
  readonly onComplete: () => void;
  /** The address is the node's own: a filter for it would cut the node off. */
  readonly isOwn: (key: Address) => boolean;
  /** Removes addresses whose filter is lost, before anything else is written. */
  readonly withdraw: (keys: Iterable<Address>) => Promise<void>;
  /** Removes every address of ours that is not guarded, also those that no VIP accounts for. */
  readonly retain: (isGuarded: (key: Address) => boolean) => Promise<void>;
}

interface Reading {
  /** What the dump shows. */
  readonly have: KernelObjects;
  /** The elements of the dump that stay although no known VIP owns them. */
  readonly found: readonly KernelObject[];
  readonly targets: Targets;
  readonly inSync: boolean;
}

interface Reconciled {
  readonly outcome: Outcome;
  /** The number of objects that were missing, wrong or unwanted. */
  readonly repaired: number;
}

export class Rules {
  readonly #parts: RulesParts;
  readonly #sender: Sender;
  readonly #commits: Commits;
  /** The kernel holds exactly what the ledger has as committed, and no orphans. */
  #exact = false;
  /** The kernel has a table of another layout, which stays until the agent is in sync. */
  #isAnothers = false;

  constructor(parts: RulesParts) {
    this.#parts = parts;
    this.#sender = new Sender(parts);
    this.#commits = new Commits(parts, this.#sender);
  }

  /** The number of commits tried. */
  get commits(): number {
    return this.#sender.tried;
  }

  /** Why the last disturbed commit failed, in the kernel's words. */
  get disturbance(): string {
    return this.#commits.disturbance;
  }

  /** The kernel holds something unwanted, which the agent removes once it is in sync. */
  get isPutOff(): boolean {
    return this.#isAnothers || this.#commits.hasOrphans;
  }

  /** Commits the VIPs of `keys`. The cost does not depend on the size of the table. */
  commit(keys: ReadonlySet<Address>): Soon<Outcome> {
    const outcome = this.#commits.commit(keys);
    const judge = (judged: Outcome): Outcome => {
      if (judged === 'unsure') this.#exact = false;
      return judged;
    };
    return outcome instanceof Promise ? outcome.then(judge) : judge(outcome);
  }

  /**
   * Removes what is not wanted, as a controller has synced. Returns false if the kernel must be read first:
   * the last reading left orphans, or a disturbance came after it.
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
   * Brings the kernel from what a dump shows to what is wanted. Before the agent is in sync it removes
   * nothing that serves a VIP: the kernel may hold VIPs that the disk does not.
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
    // Unwanted elements stay until the agent is in sync, also when a larger set replaces theirs. Elements for
    // an address of this node go at once: they would cut the node off.
    const isBarred = ({ owner }: KernelObject): boolean => owner !== null && isOwn(owner);
    const found = inSync ? [] : have.elements.filter((object) => !isBarred(object));
    const { needs, delta } = this.#way(have, found, vips);
    // Only an agent that knows everything the table has to hold may replace one of another layout.
    this.#isAnothers = !inSync && have.needs === null && firewall.replaces(delta);
    if (this.#isAnothers) return { outcome: 'committed', repaired: 0 };
    // Where the filter is missing or incomplete, an unguarded address without a known VIP has to go.
    const part = firewall.guardedInPart(have);
    if (have.needs === null || part !== null)
      await this.#parts.retain(
        (key) => targets.get(key) !== undefined || (!inSync && part?.has(key) === true),
      );
    const reading = { have, found, targets, inSync };
    const receipt = await this.#mend(delta, reading);
    if (receipt.length > 0) {
      if (have.needs !== null && census.keepLarger(have.needs)) return await this.reconcile(inSync);
      return await this.#mendAround(receipt, reading);
    }
    this.#commits.serve(needs);
    this.#commits.settle(targets, needs);
    this.#exact = !this.#commits.hasOrphans;
    if (inSync) this.#parts.onComplete();
    return { outcome: 'committed', repaired: delta.remove.length + delta.add.length };
  }

  /** The rules and sets that the kernel should hold whatever the VIPs are. */
  constants(): readonly KernelObject[] {
    return this.#commits.render(this.#commits.needs, []).constants;
  }

  /** All elements that the kernel should hold now. Each VIP is rendered when its turn comes. */
  *elements(): Iterable<Iterable<KernelObject>> {
    for (const vip of this.#parts.ledger.committed.values())
      yield this.#commits.render(this.#commits.needs, [vip]).elements;
    yield this.#commits.orphans;
  }

  /** All that the kernel should hold now. */
  whole(): KernelObjects {
    return this.#commits.render(this.#commits.needs, this.#parts.ledger.committed.values());
  }

  /**
   * The delta from the dump to these VIPs and the elements that stay. Its sets have room for removed and
   * added elements at once.
   */
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

  /** Sends the delta. If that fails, the dump becomes what the ledger has as committed. */
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
   * Retries a refused repair without the VIPs that the dump does not show. Then commits those as new ones, so
   * that the kernel can refuse each by itself.
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
    const delta = diff(have, known);
    if ((await this.#sender.send(delta)).length > 0) return unsure;
    this.#commits.serve(needs);
    const rest = [...targets].filter(([, vip]) => inSync || vip !== undefined);
    const outcome = await this.#commits.commit(new Set(rest.map(([key]) => key)));
    if (outcome === 'committed' && inSync) this.#parts.onComplete();
    return { outcome, repaired: delta.remove.length + delta.add.length };
  }

  /**
   * Takes the dump into the ledger. Withdraws each address whose filter the dump does not show: no address is
   * better than an unguarded one.
   */
  async #believe({ have, targets }: Reading): Promise<void> {
    const { ledger, firewall, withdraw } = this.#parts;
    const known = [...targets].flatMap(([key, target]) => ledger.committed.get(key) ?? target ?? []);
    const needs = have.needs ?? this.#commits.needs;
    const wanted = this.#commits.render(needs, known);
    const siblings = firewall.siblings();
    const constants = acceptedConstants(wanted.constants, have.constants, { siblings, needs });
    const want = { constants, elements: firewall.inSetsOf(constants, wanted.elements), needs };
    // No rule that is wanted matches on elements of other sets.
    const shown = { ...have, elements: firewall.inSetsOf(constants, have.elements) };
    const guards: Firewall['guardsAnyway'] = (object, isWanted) => firewall.guardsAnyway(object, isWanted);
    const lost = lostIn(shown, want, { vips: known, guards });
    for (const vip of known) ledger.committed.set(vip.address, vip);
    for (const key of lost) ledger.lose(key);
    await withdraw(lost);
  }
}
