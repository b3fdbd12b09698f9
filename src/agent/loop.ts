// The straight path on a node. What was received marks VIPs as changed; a pass lets go of addresses, commits
// rules, takes addresses, and only then says so. Passes never overlap.

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
  /** The kernel could not be told for a reason that is no VIP's; it is told again. */
  readonly onTrouble: (error: unknown) => void;
  /** The kernel was read and is as it should be. */
  readonly onWell: () => void;
}

/** Doubts about addresses alone, for which no rule has to be read. */
const aboutAddresses: ReadonlySet<string> = new Set(['address', 'link', 'network']);
const firstSync = 'first-sync';

/** What is read anew from the kernel is retried after this, twice as long each time up to the limit. */
const [retryMs, retryLimitMs] = [100, 5000];

export class Loop implements Disposable {
  readonly #parts: LoopParts;
  readonly #admission: Admission;
  #dirty = new Set<Address>();
  /** Why the kernel has to be read as a whole; empty while it is known. */
  readonly #doubts = new Set<string>();
  #inSync = false;
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Something that is no longer wanted is still in the kernel until the agent is in sync. */
  #isPutOff = false;
  /** Not everything that gives a VIP a place on this node is an event. */
  readonly #looks = new Backoff({ firstMs: 1000, limitMs: 60_000 }, () => this.doubt('network'));
  #stopped = false;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#admission = new Admission({ ...parts, onUnplaced: (key) => parts.holder.places.forget(key) });
  }

  /** In sync with a controller whose own view is complete: from here on what is not wanted is taken away. */
  get inSync(): boolean {
    return this.#inSync;
  }

  /** Everything received is in the kernel, or refused by name. */
  get settled(): boolean {
    return this.#inSync && this.#dirty.size === 0 && this.isAtRest;
  }

  /** What the kernel holds is known, and nothing is on its way there. */
  get isAtRest(): boolean {
    return this.#doubts.size === 0 && !this.#running;
  }

  /** Takes a change in and, unless a pass is under way, has it committed when this returns. */
  receive(change: Change): void {
    this.enter(change);
    this.#parts.acks.add(change);
    this.#kick();
  }

  /** Takes something in, for the next pass or reading of the kernel to bring in force. */
  enter(change: Entry): void {
    for (const key of this.#admission.enter(change)) this.#dirty.add(key);
    for (const { address } of change.set) this.#dirty.add(address);
    for (const key of change.remove) this.#dirty.add(key);
  }

  /** Something that VIPs had to wait for has come. */
  revisit(keys: Iterable<Address>): void {
    for (const key of keys) this.#dirty.add(key);
    this.#kick();
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running) await new Promise((resolve) => setImmediate(resolve));
  }

  /** VIPs may have arrived, which is what placements are acknowledged for. */
  wake(): void {
    const { acks, holder } = this.#parts;
    acks.arrive(holder.arrivals.over);
    if (this.isAtRest && holder.isLeaving) this.doubt('address');
  }

  /** Both tables have been received whole, so that what nobody wants may go. */
  synced(): void {
    if (this.#inSync) return;
    this.#inSync = true;
    this.doubt(firstSync);
  }

  /** Reads the kernel and mends what is not right. */
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

  /** Passes until nothing is left that could be done now. Runs to the end at once where the kernel does. */
  async #run(): Promise<void> {
    try {
      if (this.#doubts.size === 0 && this.#dirty.size === 0) this.#finish();
      while (this.#doubts.size > 0 || this.#dirty.size > 0) {
        if (this.#doubts.size > 0) await this.#reconcile();
        const waitMs = this.#dirty.size === 0 ? 0 : await this.#pass();
        if (waitMs > 0 && this.#doubts.size === 0) return this.#again(waitMs);
      }
    } catch (error) {
      this.#doubts.add('trouble');
      this.#again(Math.min(retryLimitMs, retryMs * 2 ** this.#failures++));
      this.#parts.onTrouble(error);
    } finally {
      // In the same turn as the last look at what is left: the next frame may be in this turn too.
      this.#running = false;
    }
  }

  /**
   * One pass over the changed VIPs, in the order that is the point: an address goes before its filter, and
   * comes after it. Returns how long to wait if a commit is not due yet, which holds up no address on its way
   * out.
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

  /** What is received from here on is for the next pass, though it be about the same VIP. */
  #take(): void {
    this.#dirty = new Set();
    this.#parts.acks.take();
  }

  /** Who has waited for an answer behind rules that are in force waits for no commit of others. */
  #passWithoutRules(waitMs: number): number | Promise<number> {
    const { ledger, holder } = this.#parts;
    const keys = [...this.#dirty].filter((key) => ledger.isCommitted(key) && holder.lacks([key]));
    if (keys.length === 0) return waitMs;
    this.#dirty = this.#dirty.difference(new Set(keys));
    // What has come meanwhile may be about an address on its way out.
    return holder.claim(keys).then(() => this.#pass());
  }

  async #takeAddresses(keys: ReadonlySet<Address>, committing: Outcome | Promise<Outcome>): Promise<number> {
    const outcome = await committing;
    if (outcome === 'committed') await this.#parts.holder.claim(keys);
    return this.#judge(outcome);
  }

  /** Until it is known where an address belongs neither it goes, nor rules that nobody wants. */
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

  /** The whole of it against a dump: the same path, only that `have` is what the kernel says. */
  async #reconcile(): Promise<void> {
    const { ledger, rules, holder, onRepaired, onWell } = this.#parts;
    const reasons = [...this.#doubts];
    const areRulesKnown = reasons.every((reason) => aboutAddresses.has(reason));
    this.#doubts.clear();
    if (!areRulesKnown) this.#take();
    const everything = ledger.keys();
    await holder.refresh(everything);
    for (const key of this.#admission.review()) this.#dirty.add(key);
    // Both tables may sync while this goes on: what was not swept is put off until the next time.
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
    // That others may no longer be wanted is no doubt about what is there.
    if (reasons.every((reason) => reason === firstSync) && (await rules.release())) return 0;
    const { outcome, repaired } = await rules.reconcile(this.#inSync);
    if (outcome === 'committed') return repaired;
    this.#doubts.add('refused');
    throw new Error(`the kernel was disturbed and is read again: ${rules.disturbance}`);
  }

  #again(delayMs: number): void {
    if (!this.#stopped) this.#timer = setTimeout(() => this.#kick(), delayMs);
  }
}
