// After a start nodes say first what they hold; when they had the time for it, VIPs are placed.

import type { Controller } from '../controller.ts';

export interface SettlingInput {
  readonly controller: Controller;
  /** How long after the first hello VIPs are placed: agents that start together share evenly. */
  readonly settleMs: number;
  /** How long a node may take to claim a VIP that has an owner by the records. */
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

  /** A node that may be believed has said something: the first one begins the time. */
  progressed(): void {
    const { controller, settleMs, claimMs } = this.#input;
    const { isPublished, owners } = controller;
    if (!isPublished || owners.isSettled) return;
    if (this.#timers.length === 0)
      this.#timers = [setTimeout(this.#due, settleMs), setTimeout(this.#settle, claimMs)];
    else if (this.#isDue && owners.claims.areAll) this.#settle();
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
