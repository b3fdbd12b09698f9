// Gives the nodes time after a start to claim the VIPs that they hold; then VIPs are placed.

import type { Controller } from '../controller.ts';

export interface SettlingInput {
  readonly controller: Controller;
  /** How long after the first hello VIPs are placed, so that agents which start together share evenly. */
  readonly settleMs: number;
  /** How long the recorded owner of a VIP may take to claim it. */
  readonly claimMs: number;
  readonly onSettled: () => void;
}

export class Settling {
  readonly #input: SettlingInput;
  #timers: readonly NodeJS.Timeout[] = [];
  #isDue = false;

  constructor(input: SettlingInput) {
    this.#input = input;
  }

  /** Called after each message of a node: the first starts the timers. */
  progressed(): void {
    const { controller, settleMs, claimMs } = this.#input;
    const { isPublished, owners } = controller;
    if (!isPublished || owners.isSettled) return;
    if (this.#timers.length === 0)
      this.#timers = [setTimeout(this.#due, settleMs), setTimeout(this.#settle, claimMs)];
    else if (this.#isDue && owners.claims.areComplete) this.#settle();
  }

  dispose(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  readonly #due = (): void => {
    this.#isDue = true;
    this.progressed();
  };

  readonly #settle = (): void => {
    this.dispose();
    this.#input.controller.owners.settle();
    this.#input.onSettled();
  };
}
