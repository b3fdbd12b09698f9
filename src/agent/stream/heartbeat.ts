// The two heartbeats of a stream: the agent's, which tells the controller that it is alive, and the
// controller's, without which the agent closes the stream.

import { heartbeatMs } from '../../protocol/messages.ts';
import { quickMs } from './reconnect.ts';

export interface HeartbeatParts {
  readonly now: () => number;
  readonly tick: () => void;
  /** The controller was silent for too long. */
  readonly lost: () => void;
  /** How long the stream has been open; called before a tick. */
  readonly openFor: (ms: number) => void;
}

export class Heartbeat {
  readonly #parts: HeartbeatParts;
  readonly #openedAtMs: number;
  readonly #timer: NodeJS.Timeout;
  #heardAtMs: number;
  #tickedAtMs: number;

  /** Starts when the stream opens. */
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
    // If this timer is late, silence proves nothing: frames may be waiting to be read.
    if (!isLate && atMs - this.#heardAtMs > 3 * heartbeatMs + quickMs) {
      lost();
      return;
    }
    if (!isLate) openFor(atMs - this.#openedAtMs);
    tick();
  }
}
