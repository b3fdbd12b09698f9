// The two heartbeats of a stream: ours, by which the controller knows that we are there, and its own, without
// which it is given up.

import { heartbeatMs } from '../../protocol/messages.ts';
import { quickMs } from './reconnect.ts';

export interface HeartbeatParts {
  readonly now: () => number;
  readonly tick: () => void;
  /** Nothing was heard for too long. */
  readonly lost: () => void;
  /** It is open for so long by now; said before each tick. */
  readonly openFor: (ms: number) => void;
}

export class Heartbeat {
  readonly #parts: HeartbeatParts;
  readonly #openedAtMs: number;
  readonly #timer: NodeJS.Timeout;
  #heardAtMs: number;
  #tickedAtMs: number;

  /** Begins with the stream. */
  constructor(parts: HeartbeatParts) {
    this.#parts = parts;
    this.#openedAtMs = parts.now();
    this.#heardAtMs = this.#openedAtMs;
    this.#tickedAtMs = this.#openedAtMs;
    this.#timer = setInterval(() => this.#beat(), heartbeatMs);
  }

  heard(): void {
    this.#heardAtMs = this.#parts.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const { now, tick, lost, openFor } = this.#parts;
    const atMs = now();
    const isLate = atMs - this.#tickedAtMs > heartbeatMs + quickMs;
    this.#tickedAtMs = atMs;
    // A late timer of our own says nothing about the other side: frames may lie unread behind it.
    if (!isLate && atMs - this.#heardAtMs > 3 * heartbeatMs + quickMs) {
      lost();
      return;
    }
    if (!isLate) openFor(atMs - this.#openedAtMs);
    tick();
  }
}
