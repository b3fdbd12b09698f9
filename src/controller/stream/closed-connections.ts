// Remembers how each node's last stream ended and which connections were turned away, with node, code and
// reason. For the status and the metrics.

/**
 * A stream that ended, or a connection that was turned away. Before the upgrade the code is an HTTP status.
 */
export interface Ended {
  /** Null if the connection had not named its node. */
  readonly node: string | null;
  readonly code: number;
  readonly reason: string;
}

/** A connection that was turned away, and its peer address, if known. */
export interface RefusedAgent extends Ended {
  readonly peer: string | null;
}

export interface EndedStatus extends Ended {
  readonly secondsAgo: number;
}

type Remembered = Ended & { readonly atMs: number };

/** Codes with a count of their own: HTTP statuses, and the close codes that the controller sends. */
const countedCodes: readonly number[] = [400, 401, 403, 404, 503, 1002, 1003, 1007, 1008, 1009, 1011];

/** Turned-away connections that are remembered: enough to find an agent that is set up wrongly. */
const mostTurnedAway = 10;

export interface ClosedConnectionsInput {
  readonly nowMs: () => number;
  /** False for a node that is forgotten, and for a name that a host has made up for a standby. */
  readonly isKnown: (node: string) => boolean;
}

export class ClosedConnections {
  readonly #input: ClosedConnectionsInput;
  /** How many connections were turned away, by code; a close code that the peer made up counts as `other`. */
  readonly turnedAwayBy: Map<string, number> = new Map(
    [...countedCodes, 'other'].map((code) => [String(code), 0]),
  );
  readonly #ofNodes = new Map<string, Remembered>();
  #turnedAway: readonly Remembered[] = [];

  constructor(input: ClosedConnectionsInput) {
    this.#input = input;
  }

  /** The stream of a node ended. Nothing is kept of one that is not known, or it would be kept for ever. */
  ended(node: string, ended: Ended): void {
    if (this.#input.isKnown(node)) this.#ofNodes.set(node, { ...ended, atMs: this.#input.nowMs() });
  }

  /** Forgets a node that is gone for good. */
  forget(node: string): void {
    this.#ofNodes.delete(node);
  }

  /**
   * Counts a connection that ended before it was a node's stream. Equal ones share one entry, so that a
   * client that retries displaces no other.
   */
  turnedAway(ended: Ended): void {
    const code = countedCodes.includes(ended.code) ? String(ended.code) : 'other';
    this.turnedAwayBy.set(code, (this.turnedAwayBy.get(code) ?? 0) + 1);
    const others = this.#turnedAway.filter((one) => !isSame(one, ended));
    this.#turnedAway = [...others, { ...ended, atMs: this.#input.nowMs() }].slice(-mostTurnedAway);
  }

  /** How the node's last ended stream ended. */
  lastOf(node: string): EndedStatus | null {
    const last = this.#ofNodes.get(node);
    return last === undefined ? null : this.#aged(last);
  }

  /** The last connections that were turned away, the latest last. */
  get recent(): EndedStatus[] {
    return this.#turnedAway.map((one) => this.#aged(one));
  }

  #aged({ atMs, ...ended }: Remembered): EndedStatus {
    return { ...ended, secondsAgo: Math.floor((this.#input.nowMs() - atMs) / 1000) };
  }
}

function isSame(a: Ended, b: Ended): boolean {
  return a.node === b.node && a.code === b.code && a.reason === b.reason;
}
