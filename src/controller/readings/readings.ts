// Between what a source reads and what the controller believes: the first reading must be whole, and one that
// takes most VIPs away must be seen twice.

import type { ServiceKey } from '../../state/service.ts';
import type { ServiceChanges } from '../allocate.ts';
import type { Pool } from '../allocation/pools.ts';
import type { Controller } from '../controller.ts';
import type { ServiceManifest, SourceReading } from '../service.ts';
import {
  addressesAfter,
  isMassRemoval,
  type MassRemoval,
  massRemovalFew,
  type Outcomes,
  type Pending,
  vipsLost,
} from './mass-removal.ts';
import { PoolChange } from './pool-change.ts';

export interface ReadingsInput {
  readonly controller: Controller;
  readonly truth: SourceReading;
  readonly massRemoval: 'wait' | 'now';
  readonly massRemovalWaitMs: number;
  /** False while it is not known whether this process rules: what waits goes on waiting. */
  readonly mayBelieve: () => boolean;
  /** Reads everything once more. */
  readonly readAgain: () => Promise<void>;
  /** Called once, when the first reading is believed. */
  readonly onPublished: () => void;
  readonly onMassRemoval: (held: MassRemoval | null) => void;
  readonly nowMs: () => number;
}

/** A change of more Services has its turns: agents and probes wait for the loop too. */
const atOnceServices = 1000;

export class Readings {
  readonly #input: ReadingsInput;
  /** What is not believed yet: Services that would lose addresses by what they say now, null if gone. */
  #held: Pending = new Map();
  /** Services that have something else by other pools. */
  readonly #others = new Map<ServiceKey, ServiceManifest>();
  readonly #poolChange: PoolChange;
  /** What was read and not looked at yet: something large is under way. */
  readonly #queued = new Map<ServiceKey, ServiceManifest | null>();
  /** Resolves when a large change is through. */
  #applying: Promise<void> | null = null;
  #deadlineMs: number | null = null;
  #timer: NodeJS.Timeout | undefined;
  #mode: 'wait' | 'now';
  #lost = 0;
  /** The source was read whole once; agents may come, and are told nothing before it is believed as well. */
  wasReadWhole = false;
  #isComplete = false;

  constructor(input: ReadingsInput) {
    this.#input = input;
    this.#poolChange = new PoolChange(input.controller);
    this.#mode = input.massRemoval;
  }

  /** The removal that waits, for the status. */
  get massRemoval(): MassRemoval | null {
    if (this.#deadlineMs === null) return null;
    const secondsLeft = Math.max(0, Math.ceil((this.#deadlineMs - this.#input.nowMs()) / 1000));
    return { vips: this.#lost, secondsLeft };
  }

  /**
   * Services that were served before this start and cannot be read now: they keep the first reading from
   * being whole.
   */
  unreadable(): ServiceKey[] {
    const { controller, truth } = this.#input;
    return [...truth.invalid.keys()].filter((key) => controller.allocator.assigned.has(key));
  }

  /** True if nothing was read of the Service that is still to be looked at, or to be believed. */
  isUndisputed(key: ServiceKey): boolean {
    const waits = [this.#queued, this.#held, this.#others].some((services) => services.has(key));
    return !waits && !this.#isBusy && this.#input.mayBelieve();
  }

  set mode(mode: 'wait' | 'now') {
    this.#mode = mode;
    const waits = this.#deadlineMs !== null && !this.#isBusy;
    if (mode === 'now' && waits && this.#input.mayBelieve()) this.#believe();
  }

  /** Follows a change of the source. */
  follow({ set, remove }: ServiceChanges, isComplete: boolean): void {
    this.#isComplete = isComplete;
    for (const key of remove) this.#queued.set(key, null);
    for (const service of set) this.#queued.set(service.key, service);
    if (this.#isBusy) return;
    if (this.#input.controller.isPublished) this.#settle();
    else this.#first(isComplete);
  }

  /** Other pools: whoever has an address that lies in none of them any more would lose it. */
  async usePools(pools: readonly Pool[]): Promise<void> {
    const { controller } = this.#input;
    if (!controller.isPublished && !this.#isBusy) {
      controller.usePools(pools);
      this.#first(this.#isComplete);
      return;
    }
    while (this.#applying !== null) await this.#applying;
    const outcomes = await this.#poolChange.use(pools);
    if (outcomes === null) return;
    for (const service of outcomes.keys()) this.#others.set(service.key, service);
    this.#settle(outcomes);
  }

  /** Reads the source once more, changed or not. */
  readAgain(): Promise<void> {
    return this.#input.readAgain();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#poolChange.stop();
  }

  #first(isComplete: boolean): void {
    // All that there is comes with the first reading.
    this.#queued.clear();
    if (!isComplete || this.unreadable().length > 0) return;
    this.wasReadWhole = true;
    const { truth } = this.#input;
    const gone = this.#gone().map((key) => [key, null] as const);
    const pending: Pending = new Map([...gone, ...truth.services]);
    this.#held = this.#losing(pending, pending);
    if (this.#held.size > 0) this.#wait();
    else this.#believe();
  }

  /** Services that had addresses before this start and are no more. */
  #gone(): ServiceKey[] {
    const { controller, truth } = this.#input;
    return [...controller.allocator.assigned.keys()].filter((key) => !truth.services.has(key));
  }

  /** Nothing else is decided before what is under way is through. */
  get #isBusy(): boolean {
    return this.#applying !== null || this.#poolChange.isUnderWay;
  }

  /** Applies what may be believed at once, of what is held and was read too, and keeps the rest. */
  #settle(outcomes: Outcomes = new Map()): void {
    // All of it is found again by the next change, which comes as soon as it may be believed.
    if (!this.#input.mayBelieve()) return;
    const { services } = this.#input.controller.allocator;
    // One that has changed since its pools did was decided by the new ones.
    const others = [...this.#others].filter(([key, service]) => services.get(key) === service);
    const doubtful: Pending = new Map([...others, ...this.#held]);
    const pending = new Map([...doubtful, ...this.#queued]);
    this.#others.clear();
    this.#queued.clear();
    const losing = this.#losing(pending, doubtful, outcomes);
    this.#apply([...pending].filter(([key]) => !losing.has(key)));
    this.#held = losing;
    if (losing.size > 0) this.#wait();
    else this.#stopWaiting();
  }

  /** Those who would lose addresses, if most VIPs would go with them; else none. */
  #losing(pending: Pending, doubtful: Pending, outcomes: Outcomes = new Map()): Pending {
    const { allocator } = this.#input.controller;
    const { assigned } = allocator;
    let most = 0;
    for (const key of pending.keys()) most += assigned.get(key)?.length ?? 0;
    if (this.#mode === 'now' || most <= massRemovalFew) return new Map();
    const after = addressesAfter(allocator, { pending, doubtful, outcomes });
    const loss = vipsLost(after, assigned);
    if (!isMassRemoval(loss)) return new Map();
    this.#lost = loss.lost;
    const loses = ([key]: readonly [ServiceKey, unknown]) =>
      after.has(key) && assigned.get(key)?.some((address) => after.get(key)?.includes(address) !== true);
    return new Map([...pending].filter(loses));
  }

  #wait(): void {
    if (this.#deadlineMs !== null) return;
    this.#deadlineMs = this.#input.nowMs() + this.#input.massRemovalWaitMs;
    this.#timer = setTimeout(() => void this.#askAgain(), this.#input.massRemovalWaitMs).unref();
    this.#input.onMassRemoval(this.massRemoval);
  }

  /** The second reading: Services that it finds are no longer held, and what is left is believed. */
  async #askAgain(): Promise<void> {
    await this.#input.readAgain();
    if (this.#deadlineMs === null) return;
    const isGood = this.#isComplete && !this.#isBusy && this.unreadable().length === 0;
    if (isGood && this.#input.mayBelieve()) this.#believe();
    else this.#timer = setTimeout(() => void this.#askAgain(), this.#input.massRemovalWaitMs).unref();
  }

  #believe(): void {
    const { controller, truth } = this.#input;
    const held = [...this.#held];
    this.#stopWaiting();
    if (controller.isPublished) {
      this.#apply(held);
      return;
    }
    const first = { set: [...truth.services.values()], remove: this.#gone() };
    if (first.set.length > atOnceServices) this.#applying = this.#applyInTurns(first);
    else this.#publish(first);
  }

  #publish(first: ServiceChanges): void {
    this.#input.controller.publish(first);
    this.#input.onPublished();
  }

  #apply(changes: readonly (readonly [ServiceKey, ServiceManifest | null])[]): void {
    if (changes.length === 0) return;
    const what = {
      set: changes.flatMap(([, service]) => (service === null ? [] : [service])),
      remove: changes.flatMap(([key, service]) => (service === null ? [key] : [])),
    };
    if (changes.length > atOnceServices) this.#applying = this.#applyInTurns(what);
    else this.#input.controller.apply(what);
  }

  async #applyInTurns(changes: ServiceChanges): Promise<void> {
    const { controller, mayBelieve } = this.#input;
    await controller.applyInTurns(changes);
    if (!controller.isPublished) await controller.compilation.done();
    this.#applying = null;
    if (!controller.isPublished && mayBelieve()) this.#publish({ set: [], remove: [] });
    this.#settle();
  }

  #stopWaiting(): void {
    clearTimeout(this.#timer);
    this.#held = new Map();
    if (this.#deadlineMs === null) return;
    this.#deadlineMs = null;
    this.#input.onMassRemoval(null);
  }
}
