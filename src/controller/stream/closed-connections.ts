// Remembers how streams ended, and which connections never became one: whose, by which code, and why. For
// the status and the metrics.

/** A stream that ended, or a connection that was turned away: the code is HTTP's before the upgrade. */
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

/** Codes that are counted by themselves: those of HTTP, and those by which we close. */
const countedCodes: readonly number[] = [400, 401, 403, 404, 503, 1002, 1003, 1007, 1008, 1009, 1011];

/** Connections without a stream that are remembered: enough to see what somebody does wrong. */
const mostTurnedAway = 10;

export class ClosedConnections {
  readonly #nowMs: () => number;
  /** How many were turned away, by code; what a peer made up itself is `other`. */
  readonly turnedAwayBy: Map<string, number> = new Map(
    [...countedCodes, 'other'].map((code) => [String(code), 0]),
  );
  readonly #ofNodes = new Map<string, Remembered>();
  #turnedAway: readonly Remembered[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The stream of a node ended. */
  ended(node: string, ended: Ended): void {
    this.#ofNodes.set(node, { ...ended, atMs: this.#nowMs() });
  }

  /** The node is gone for good. */
  forget(node: string): void {
    this.#ofNodes.delete(node);
  }

  /** A connection ended before it was anybody's stream. One that comes again and again hides no other. */
  turnedAway(ended: Ended): void {
    const code = countedCodes.includes(ended.code) ? String(ended.code) : 'other';
    this.turnedAwayBy.set(code, (this.turnedAwayBy.get(code) ?? 0) + 1);
    const others = this.#turnedAway.filter((one) => !isSame(one, ended));
    this.#turnedAway = [...others, { ...ended, atMs: this.#nowMs() }].slice(-mostTurnedAway);
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

function isSame(a: Ended, b: Ended): boolean {
  return a.node === b.node && a.code === b.code && a.reason === b.reason;
}
