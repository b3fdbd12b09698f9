// Agents that come before the source was read whole. Turned away at once, a thousand of them would come again
// four thousand times a second, perhaps with a TLS handshake each, and keep the controller from reading: they
// are answered when there is something to say, or after a while.

import type { Duplex } from 'node:stream';
import { inTurns } from '../turns.ts';

export interface Caller {
  readonly socket: Duplex;
  /** Opens a stream, or says why not. */
  readonly answer: () => void;
}

/** Well below what an agent waits for an answer. */
const patienceMs = 1000;
const lookEveryMs = 20;

export class WaitingRoom {
  readonly #isOpen: () => boolean;
  /** Until when each may wait, by the monotonic clock; those that came first are first. */
  readonly #callers = new Map<Caller, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(isOpen: () => boolean) {
    this.#isOpen = isOpen;
  }

  get size(): number {
    return this.#callers.size;
  }

  add(caller: Caller): void {
    this.#callers.set(caller, performance.now() + patienceMs);
    caller.socket.once('close', () => this.#callers.delete(caller));
    this.#lookLater();
  }

  terminate(): void {
    clearTimeout(this.#timer);
    for (const { socket } of this.#callers.keys()) socket.destroy();
  }

  #lookLater(): void {
    this.#timer ??= setTimeout(() => inTurns(this.#answers(), { done: () => this.#looked() }), lookEveryMs);
  }

  #looked(): void {
    this.#timer = undefined;
    if (this.#callers.size > 0) this.#lookLater();
  }

  *#answers(): Generator<void, void> {
    for (const [caller, untilMs] of this.#callers) {
      if (!this.#isOpen() && performance.now() < untilMs) return;
      this.#callers.delete(caller);
      caller.answer();
      yield;
    }
  }
}
