// Streams that ended and connections that never became one, for the status: whose, by which code, and why.

/** A stream that ended, or a connection that was turned away after the upgrade. */
export interface Ended {
  /** Null if it had not said which node it is. */
  readonly node: string | null;
  readonly code: number;
  readonly reason: string;
}

export interface EndedStatus extends Ended {
  readonly secondsAgo: number;
}

type Remembered = Ended & { readonly atMs: number };

/** Connections without a stream that are remembered: enough to see what somebody does wrong. */
const mostTurnedAway = 10;

export class Closings {
  readonly #nowMs: () => number;
  readonly #ofNodes = new Map<string, Remembered>();
  #turnedAway: readonly Remembered[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The stream of a node ended. */
  ended(node: string, ended: Ended): void {
    this.#ofNodes.set(node, { ...ended, atMs: this.#nowMs() });
  }

  /** A connection was closed before it was anybody's stream. */
  turnedAway(ended: Ended): void {
    this.#turnedAway = [...this.#turnedAway, { ...ended, atMs: this.#nowMs() }].slice(-mostTurnedAway);
  }

  /** How the last stream of a node that ended did so. */
  lastOf(node: string): EndedStatus | null {
    const last = this.#ofNodes.get(node);
    return last === undefined ? null : this.#aged(last);
  }

  /** The last connections that became no stream, the latest last. */
  get recent(): EndedStatus[] {
    return this.#turnedAway.map((one) => this.#aged(one));
  }

  #aged({ atMs, ...ended }: Remembered): EndedStatus {
    return { ...ended, secondsAgo: Math.floor((this.#nowMs() - atMs) / 1000) };
  }
}
