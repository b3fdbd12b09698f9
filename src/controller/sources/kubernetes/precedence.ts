// Delays the first writes of a controller that begins to rule over many VIPs until the agents hold them, up
// to mostWaitMs. Writes take time of this thread, and of the machine of a small API server.

import type { Controller } from '../../controller.ts';

/** Up to this many VIPs are in force before the first writes are answered. */
export const fewVips = 1000;
/** Longest delay, even if some node has not taken its VIPs. */
export const mostWaitMs = 10_000;
const everyMs = 200;

export interface PrecedenceInput {
  readonly controller: Controller;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** The delay is over: waiting writes may go. */
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

  /** Checked before each write. A write before the first publication delays no agent. */
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

  /** Every connected node has committed the rules and holds its VIPs, and every VIP is placed. */
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
