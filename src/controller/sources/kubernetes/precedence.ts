// When a controller begins to rule over many VIPs, agents come first: what is to be written waits until they
// hold what they were given, for a while. Writes take this thread, and the machine of a small API server.

import type { Controller } from '../../controller.ts';

/** So few are in force before the first writes are answered. */
export const fewVips = 1000;
/** By then all is written, whoever has not taken its VIPs. */
export const mostWaitMs = 10_000;
const everyMs = 200;

export interface PrecedenceInput {
  readonly controller: Controller;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** What waits may be written now. */
  readonly onOver: () => void;
}

export class Precedence {
  readonly #input: PrecedenceInput;
  #isOver = false;
  #sinceMs: number | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(input: PrecedenceInput) {
    this.#input = input;
    input.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  /** Asked before each write. What is said before agents are given anything is in nobody's way. */
  get mayWrite(): boolean {
    if (!this.#input.controller.isPublished) return true;
    if (!this.#isOver && this.#timer === undefined) this.#look();
    return this.#isOver;
  }

  #look(): void {
    const { controller, nowMs } = this.#input;
    this.#sinceMs ??= nowMs();
    const isLong = nowMs() - this.#sinceMs >= mostWaitMs;
    this.#isOver = isLong || controller.rules.size <= fewVips || this.#areHeld();
    if (!this.#isOver) this.#timer = setTimeout(this.#again, everyMs).unref();
  }

  readonly #again = (): void => {
    this.#look();
    if (this.#isOver) this.#input.onOver();
  };

  /** Who is here has committed the rules, and every VIP is placed and held by its node, if that is here. */
  #areHeld(): boolean {
    const { owners, nodes } = this.#input.controller;
    if (!owners.isSettled) return false;
    for (const node of nodes.connected()) if (node.acked.rules === null) return false;
    for (const address of owners.nominations.all())
      if (owners.nominations.get(address) !== null) return false;
    return owners.all.entries().every(([address, { node }]) => {
      const owner = nodes.get(node);
      return owner?.isConnected !== true || owner.held.has(address);
    });
  }
}
