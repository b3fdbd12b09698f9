// Holds the upgrade requests of agents that come before the source has been read. Refused at once, a thousand
// agents would retry four thousand times a second, perhaps with a TLS handshake each, and delay the reading.
// Each is answered once the source has been read, or after patienceMs.

import type { Duplex } from 'node:stream';
import { inTurns } from '../turns.ts';

export interface Caller {
  readonly socket: Duplex;
  /** Opens a stream or refuses the request. */
  readonly answer: () => void;
}

/** Longest wait of a request, well below the time an agent waits for an answer. */
const patienceMs = 1000;
const lookEveryMs = 20;

export class WaitingRoom {
  readonly #isOpen: () => boolean;
  /** The deadline of each request by the monotonic clock, in order of arrival. */
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
