// The main loop of the agent. A received change marks its VIPs dirty. A pass removes addresses, commits
// rules, adds addresses, and only then acknowledges. Passes never overlap.

import type { Address } from '../state/address.ts';
import type { Holder } from './addresses/holder.ts';
import { Backoff } from './backoff.ts';
import type { Pace } from './pace.ts';
import type { Outcome } from './rules/commits.ts';
import type { Rules } from './rules/rules.ts';
import type { Acks } from './stream/acks.ts';
import { Admission, type AdmissionParts, type Entry } from './stream/admission.ts';
import type { Change } from './stream/received-table.ts';

export interface LoopParts extends Omit<AdmissionParts, 'onUnplaced'> {
  readonly rules: Rules;
  readonly holder: Holder;
  readonly pace: Pace;
  readonly acks: Acks;
  readonly onRepaired: (kind: string, objects: number) => void;
  /** A pass failed for a reason that concerns no single VIP; the loop retries it. */
  readonly onTrouble: (error: unknown) => void;
  /** The kernel was read and holds what it should. */
  readonly onWell: () => void;
}

/** Doubts that concern addresses only, so that the rules need not be read. */
const aboutAddresses: ReadonlySet<string> = new Set(['address', 'link', 'network']);
const firstSync = 'first-sync';

/** Wait before the kernel is read again after a failure; it doubles each time up to the limit. */
const [retryMs, retryLimitMs] = [100, 5000];

export class Loop implements Disposable {
  readonly #parts: LoopParts;
  readonly #admission: Admission;
  #dirty = new Set<Address>();
  /** Why the kernel has to be read; empty while its state is known. */
  readonly #doubts = new Set<string>();
  #inSync = false;
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** The kernel still holds unwanted rules or addresses, which stay until the agent is in sync. */
  #isPutOff = false;
  /** Looks again for VIPs that have no place: some changes that would give them one raise no event. */
  readonly #looks = new Backoff({ firstMs: 1000, limitMs: 60_000 }, () => this.doubt('network'));
  #stopped = false;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#admission = new Admission({ ...parts, onUnplaced: (key) => parts.holder.places.forget(key) });
  }

  /** A controller has sent both tables whole: from then on the agent removes what is not wanted. */
  get inSync(): boolean {
    return this.#inSync;
  }

  /** Everything received is in the kernel or refused. */
  get settled(): boolean {
    return this.#inSync && this.#dirty.size === 0 && this.isAtRest;
  }

  /** The state of the kernel is known, and no pass is running. */
  get isAtRest(): boolean {
    return this.#doubts.size === 0 && !this.#running;
  }

  /** Enters a change and starts a pass unless one runs. The pass ends before this returns, if it can. */
  receive(change: Change): void {
    this.enter(change);
    this.#parts.acks.add(change);
    this.#kick();
  }

  /** Enters a change without starting a pass. */
  enter(change: Entry): void {
    for (const key of this.#admission.enter(change)) this.#dirty.add(key);
    for (const { address } of change.set) this.#dirty.add(address);
    for (const key of change.remove) this.#dirty.add(key);
  }

  /** The prober has a finding for VIPs that waited for one. */
  revisit(keys: Iterable<Address>): void {
    for (const key of keys) this.#dirty.add(key);
    this.#kick();
  }

  /** Resolves when no pass is running. */
  async idle(): Promise<void> {
    while (this.#running) await new Promise((resolve) => setImmediate(resolve));
  }

  /** VIPs may have arrived: acknowledges their placements, removes moved VIPs from their old interface. */
  wake(): void {
    const { acks, holder } = this.#parts;
    acks.arrive(holder.arrivals.over);
    if (this.isAtRest && holder.isLeaving) this.doubt('address');
  }

  /** Both tables have been received whole, so unwanted rules and addresses may go. */
  synced(): void {
    if (this.#inSync) return;
    this.#inSync = true;
    this.doubt(firstSync);
  }

  /** Reads the kernel and repairs every difference. */
  doubt(reason: string): void {
    this.#doubts.add(reason);
    this.#kick();
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#looks[Symbol.dispose]();
  }

  #kick(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    clearTimeout(this.#timer);
    void this.#run();
  }

  /** Runs passes until no work is due. A pass that the kernel answers at once ends in the same turn. */
  async #run(): Promise<void> {
    try {
      if (this.#doubts.size === 0 && this.#dirty.size === 0) this.#finish();
      while (this.#doubts.size > 0 || this.#dirty.size > 0) {
        if (this.#doubts.size > 0) await this.#reconcile();
        const passing = this.#dirty.size === 0 ? 0 : this.#pass();
        const waitMs = passing instanceof Promise ? await passing : passing;
        if (waitMs > 0 && this.#doubts.size === 0) return this.#again(waitMs);
      }
    } catch (error) {
      this.#doubts.add('trouble');
      this.#again(Math.min(retryLimitMs, retryMs * 2 ** this.#failures++));
      this.#parts.onTrouble(error);
    } finally {
      // In the same turn as the last check for work, since the next frame may come in this turn too.
      this.#running = false;
    }
  }

  /**
   * One pass over the dirty VIPs. The order matters: an address goes before its filter and comes after it.
   * Returns how many milliseconds to wait if a commit is not due yet; removing an address does not wait.
   */
  #pass(): number | Promise<number> {
    const { ledger, rules, holder, pace } = this.#parts;
    if (!this.#inSync) this.#putOff();
    const keys = this.#dirty;
    const excess = holder.excess(this.#inSync ? keys : keys.intersection(ledger.barred));
    if (excess.length > 0) return holder.withdraw(excess).then(() => this.#pass());
    let rulesChange = false;
    for (const key of keys) rulesChange ||= !ledger.isCommitted(key);
    const waitMs = rulesChange ? pace.take() : 0;
    if (waitMs > 0) return this.#passWithoutRules(waitMs);
    this.#take();
    const outcome = rulesChange ? rules.commit(keys) : 'committed';
    if (holder.lacks(keys)) return this.#takeAddresses(keys, outcome);
    return outcome instanceof Promise ? outcome.then((later) => this.#judge(later)) : this.#judge(outcome);
  }

  /** Changes received from here on belong to the next pass, even if they concern the same VIP. */
  #take(): void {
    this.#dirty = new Set();
    this.#parts.acks.take();
  }

  /** Claims VIPs whose rules are committed already: they need not wait until the next commit is due. */
  #passWithoutRules(waitMs: number): number | Promise<number> {
    const { ledger, holder } = this.#parts;
    const keys = [...this.#dirty].filter((key) => ledger.isCommitted(key) && holder.lacks([key]));
    if (keys.length === 0) return waitMs;
    this.#dirty = this.#dirty.difference(new Set(keys));
    // A change received meanwhile may remove an address.
    return holder.claim(keys).then(() => this.#pass());
  }

  async #takeAddresses(keys: ReadonlySet<Address>, committing: Outcome | Promise<Outcome>): Promise<number> {
    const outcome = await committing;
    if (outcome === 'committed') await this.#parts.holder.claim(keys);
    return this.#judge(outcome);
  }

  /** Keeps unwanted rules and addresses until the agent is in sync: the controller may still want them. */
  #putOff(): void {
    const { ledger, holder } = this.#parts;
    const unwanted = [...this.#dirty].filter((key) => !ledger.wanted.has(key) && !ledger.barred.has(key));
    this.#isPutOff ||= unwanted.length > 0 || holder.excess(this.#dirty).length > 0;
    for (const key of unwanted) this.#dirty.delete(key);
  }

  #judge(outcome: Outcome): number {
    if (outcome === 'committed') this.#finish();
    else this.#doubts.add('refused');
    return 0;
  }

  #finish(): void {
    const { acks, holder } = this.#parts;
    if (holder.places.areLacking) this.#looks.wait();
    else this.#looks.reset();
    if (this.#dirty.size === 0) acks.take();
    if (this.#isPutOff) return;
    acks.settle(holder.arrivals);
    if (holder.isLeaving) this.#doubts.add('address');
  }

  /** Compares addresses, and rules unless all doubts are about addresses, with a dump and repairs them. */
  async #reconcile(): Promise<void> {
    const { ledger, rules, holder, onRepaired, onWell } = this.#parts;
    const reasons = [...this.#doubts];
    const areRulesKnown = reasons.every((reason) => aboutAddresses.has(reason));
    this.#doubts.clear();
    if (!areRulesKnown) this.#take();
    const everything = ledger.keys();
    await holder.refresh(everything);
    for (const key of this.#admission.review()) this.#dirty.add(key);
    // Both tables may sync during this pass. Then addresses that were not swept wait for the next one.
    const inSync = this.#inSync;
    if (inSync) await holder.sweep();
    const repaired = areRulesKnown ? 0 : await this.#mendRules(reasons);
    const restored = await holder.claim(everything);
    this.#isPutOff ||= rules.isPutOff || holder.excess(ledger.held.keys()).length > 0;
    this.#isPutOff &&= !inSync;
    this.#failures = 0;
    onWell();
    if (repaired + restored > 0) for (const reason of reasons) onRepaired(reason, repaired + restored);
    this.#finish();
  }

  async #mendRules(reasons: readonly string[]): Promise<number> {
    const { rules } = this.#parts;
    if (reasons.includes(firstSync)) this.#admission.retry();
    // The first sync alone casts no doubt on the kernel's state: it only allows removals, without a dump.
    if (reasons.every((reason) => reason === firstSync) && (await rules.release())) return 0;
    const { outcome, repaired } = await rules.reconcile(this.#inSync);
    if (outcome === 'committed') return repaired;
    this.#doubts.add('refused');
    throw new Error(`a commit failed, and the agent reads the kernel again: ${rules.disturbance}`);
  }

  #again(delayMs: number): void {
    if (!this.#stopped) this.#timer = setTimeout(() => this.#kick(), delayMs);
  }
}
