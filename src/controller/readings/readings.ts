// Decides which readings of a source the controller believes: the first one must be whole, and one that
// removes most VIPs must be seen twice.

import type { ServiceKey } from '../../state/service.ts';
import type { Allocations } from '../allocate.ts';
import type { Pool } from '../allocation/pools.ts';
import type { Controller } from '../controller.ts';
import type { ServiceChanges, ServiceManifest, SourceReading } from '../service.ts';
import { Application } from './application.ts';
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
  /** False while this process may not be the leader: changes wait. */
  readonly mayBelieve: () => boolean;
  /** Reads the whole source again. */
  readonly readAgain: () => Promise<void>;
  /** Called once, when the first reading is believed. */
  readonly onPublished: () => void;
  readonly onMassRemoval: (held: MassRemoval | null) => void;
  readonly nowMs: () => number;
}

export class Readings {
  readonly #input: ReadingsInput;
  /** Changes that are not believed yet, of Services that would lose addresses; null for one that is gone. */
  #held: Pending = new Map();
  /** Services whose addresses change with the pools. */
  readonly #others = new Map<ServiceKey, ServiceManifest>();
  readonly #poolChange: PoolChange;
  /** Changes that were read while a large one is under way. */
  readonly #queued = new Map<ServiceKey, ServiceManifest | null>();
  readonly #application: Application;
  #deadlineMs: number | null = null;
  #timer: NodeJS.Timeout | undefined;
  #mode: 'wait' | 'now';
  #lost = 0;
  /** Addresses came free since the last change was applied. */
  #isOffer = false;
  /** The source was read whole once: agents may connect, and are sent nothing before it is believed. */
  wasReadWhole = false;
  #isComplete = false;

  constructor(input: ReadingsInput) {
    this.#input = input;
    this.#poolChange = new PoolChange(input.controller);
    this.#application = new Application(input.controller, () => this.#applied());
    this.#mode = input.massRemoval;
    input.controller.onFreed = () => this.#offer();
  }

  /** The removal that waits, for the status. */
  get massRemoval(): MassRemoval | null {
    if (this.#deadlineMs === null) return null;
    const secondsLeft = Math.max(0, Math.ceil((this.#deadlineMs - this.#input.nowMs()) / 1000));
    return { vips: this.#lost, secondsLeft };
  }

  /** Services that have recorded addresses and cannot be read: the first reading is not whole then. */
  unreadable(): ServiceKey[] {
    const { controller, truth } = this.#input;
    return [...truth.invalid.keys()].filter((key) => controller.allocator.assigned.has(key));
  }

  /** True if no change of the Service waits to be applied or believed. */
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

  /** Uses other pools: Services with addresses outside them would lose these. */
  async usePools(pools: readonly Pool[]): Promise<void> {
    const { controller } = this.#input;
    if (!controller.isPublished && !this.#isBusy) {
      controller.usePools(pools);
      this.#first(this.#isComplete);
      return;
    }
    while (this.#application.underWay !== null) await this.#application.underWay;
    const outcomes = await this.#poolChange.use(pools);
    if (outcomes === null) return;
    for (const service of outcomes.keys()) this.#others.set(service.key, service);
    this.#settle(outcomes);
  }

  /** Services let go of addresses that were replaced. None of them may be disputed. */
  letGo(gone: Allocations): void {
    this.#application.apply({ set: [], remove: [], gone });
  }

  /** Reads the source again, changed or not. */
  readAgain(): Promise<void> {
    return this.#input.readAgain();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#poolChange.stop();
  }

  #first(isComplete: boolean): void {
    // `truth` has all that the queued changes say.
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

  /** Services that have recorded addresses and are gone. */
  #gone(): ServiceKey[] {
    const { controller, truth } = this.#input;
    return [...controller.allocator.assigned.keys()].filter((key) => !truth.services.has(key));
  }

  /** True while a change of many Services or of the pools is under way: no other begins then. */
  get #isBusy(): boolean {
    return this.#application.underWay !== null || this.#poolChange.isUnderWay;
  }

  /** Applies the changes that may be believed at once, held ones included, and holds the rest. */
  #settle(outcomes: Outcomes = new Map()): void {
    // The next change finds all of it again, and comes as soon as readings may be believed.
    if (!this.#input.mayBelieve()) return;
    const { services } = this.#input.controller.allocator;
    // A Service that changed since the pools did was applied with the new pools.
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

  /** The Services that would lose addresses in a mass removal; none if it is no mass removal. */
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

  /** An address came free: Services that wait for one are asked now, or with the next change. */
  #offer(): void {
    this.#isOffer = true;
    if (this.#input.controller.isPublished && !this.#isBusy && this.#input.mayBelieve()) this.#apply([]);
  }

  #wait(): void {
    if (this.#deadlineMs !== null) return;
    this.#deadlineMs = this.#input.nowMs() + this.#input.massRemovalWaitMs;
    this.#timer = setTimeout(() => void this.#askAgain(), this.#input.massRemovalWaitMs).unref();
    this.#input.onMassRemoval(this.massRemoval);
  }

  /** The second reading: Services that are back are held no longer, and the other removals are believed. */
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
    if (this.#application.isLarge(first)) this.#application.begin(first);
    else this.#publish(first);
  }

  #publish(first: ServiceChanges): void {
    this.#input.controller.publish(first);
    this.#input.onPublished();
  }

  #apply(changes: readonly (readonly [ServiceKey, ServiceManifest | null])[]): void {
    if (changes.length === 0 && !this.#isOffer) return;
    this.#isOffer = false;
    this.#application.apply({
      set: changes.flatMap(([, service]) => (service === null ? [] : [service])),
      remove: changes.flatMap(([key, service]) => (service === null ? [key] : [])),
    });
  }

  /** A large change is applied: those that were read meanwhile are next. */
  #applied(): void {
    const { controller, mayBelieve } = this.#input;
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
