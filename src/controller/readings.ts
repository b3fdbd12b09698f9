// Between what a source reads and what the controller believes: the first reading must be whole, and one that
// takes most VIPs away must be seen twice.

import type { ServiceKey } from '../state/service.ts';
import type { ServiceChanges } from './allocate.ts';
import type { Controller } from './controller.ts';
import { isMassRemoval, massRemovalFew, massRemovalWaitMs, vipsLost } from './guard.ts';
import type { ServiceManifest } from './service.ts';

/** What a source has read so far. */
export interface Truth {
  readonly services: ReadonlyMap<ServiceKey, ServiceManifest>;
  readonly invalid: ReadonlyMap<ServiceKey, string>;
}

export interface ReadingsInput {
  readonly controller: Controller;
  readonly truth: Truth;
  readonly massRemoval: 'wait' | 'now';
  readonly massRemovalWaitMs?: number;
  /** Reads everything once more. */
  readonly readAgain: () => Promise<void>;
  /** Called once, when the first reading is believed. */
  readonly onPublished: () => void;
  readonly onMassRemoval: (held: MassRemoval | null) => void;
  readonly nowMs: () => number;
}

export interface MassRemoval {
  readonly vips: number;
  readonly secondsLeft: number;
}

export class Readings {
  readonly #input: ReadingsInput;
  readonly #waitMs: number;
  /** Services that are gone and whose removal is not believed yet. */
  readonly #held = new Set<ServiceKey>();
  #deadlineMs: number | null = null;
  #timer: NodeJS.Timeout | undefined;
  #mode: 'wait' | 'now';
  #lost = 0;
  #wasReadWhole = false;
  #isComplete = false;

  constructor(input: ReadingsInput) {
    this.#input = input;
    this.#mode = input.massRemoval;
    this.#waitMs = input.massRemovalWaitMs ?? massRemovalWaitMs;
  }

  /** The source was read whole once; agents may come, and are told nothing before it is believed as well. */
  get wasReadWhole(): boolean {
    return this.#wasReadWhole;
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

  set mode(mode: 'wait' | 'now') {
    this.#mode = mode;
    if (mode === 'now' && this.#deadlineMs !== null) this.#believe();
  }

  /** Follows a change of the source. */
  follow(changes: ServiceChanges, isComplete: boolean): void {
    const { controller } = this.#input;
    this.#isComplete = isComplete;
    if (!controller.isPublished) {
      this.#first(isComplete);
      return;
    }
    for (const { key } of changes.set) this.#held.delete(key);
    if (changes.remove.length === 0 && this.#held.size === 0) {
      this.#stopWaiting();
      if (changes.set.length > 0) controller.apply(changes);
      return;
    }
    for (const key of changes.remove) this.#held.add(key);
    if (this.#mustWait()) {
      if (changes.set.length > 0) controller.apply({ set: changes.set, remove: [] });
      this.#wait();
    } else {
      const remove = [...this.#held];
      this.#stopWaiting();
      controller.apply({ set: changes.set, remove });
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  #first(isComplete: boolean): void {
    if (!isComplete || this.unreadable().length > 0) return;
    this.#wasReadWhole = true;
    this.#held.clear();
    const { controller, truth } = this.#input;
    for (const key of controller.allocator.assigned.keys()) if (!truth.services.has(key)) this.#held.add(key);
    if (this.#mustWait()) this.#wait();
    else this.#believe();
  }

  #mustWait(): boolean {
    if (this.#mode === 'now') return false;
    const { assigned } = this.#input.controller.allocator;
    let most = 0;
    for (const key of this.#held) most += assigned.get(key)?.length ?? 0;
    if (most <= massRemovalFew) return false;
    const loss = vipsLost(this.#held, assigned);
    this.#lost = loss.lost;
    return isMassRemoval(loss);
  }

  #wait(): void {
    if (this.#deadlineMs !== null) return;
    this.#deadlineMs = this.#input.nowMs() + this.#waitMs;
    this.#timer = setTimeout(() => void this.#askAgain(), this.#waitMs).unref();
    this.#input.onMassRemoval(this.massRemoval);
  }

  /** The second reading: Services that it finds are no longer held, and what is left is believed. */
  async #askAgain(): Promise<void> {
    await this.#input.readAgain();
    if (this.#deadlineMs === null) return;
    if (this.#isComplete && this.unreadable().length === 0) this.#believe();
    else this.#timer = setTimeout(() => void this.#askAgain(), this.#waitMs).unref();
  }

  #believe(): void {
    const { controller, truth } = this.#input;
    const remove = [...this.#held].filter((key) => !truth.services.has(key));
    this.#stopWaiting();
    if (controller.isPublished) controller.apply({ set: [], remove });
    else {
      controller.publish({ set: [...truth.services.values()], remove });
      this.#input.onPublished();
    }
  }

  #stopWaiting(): void {
    clearTimeout(this.#timer);
    this.#held.clear();
    if (this.#deadlineMs === null) return;
    this.#deadlineMs = null;
    this.#input.onMassRemoval(null);
  }
}
