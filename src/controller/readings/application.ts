// Applies believed changes: small ones at once, large ones in turns, since agents and probes need the event
// loop too.

import type { Controller } from '../controller.ts';
import type { AllocationChanges } from '../service.ts';

/** A change that concerns more Services is large. */
const atOnceServices = 1000;

export class Application {
  readonly #controller: Controller;
  readonly #onDone: () => void;
  #underWay: Promise<void> | null = null;

  /** `onDone` is called after each large change. */
  constructor(controller: Controller, onDone: () => void) {
    this.#controller = controller;
    this.#onDone = onDone;
  }

  /** The large change that is being applied; null if there is none. No other may be applied meanwhile. */
  get underWay(): Promise<void> | null {
    return this.#underWay;
  }

  isLarge(changes: AllocationChanges): boolean {
    return this.#controller.allocator.extentOf(changes) > atOnceServices;
  }

  apply(changes: AllocationChanges): void {
    if (this.isLarge(changes)) this.begin(changes);
    else this.#controller.apply(changes);
  }

  /** Begins to apply a large change in the next turn. */
  begin(changes: AllocationChanges): void {
    this.#underWay = this.#applyInTurns(changes);
  }

  async #applyInTurns(changes: AllocationChanges): Promise<void> {
    const controller = this.#controller;
    await controller.applyInTurns(changes);
    if (!controller.isPublished) await controller.compilation.done();
    this.#underWay = null;
    this.#onDone();
  }
}
