// What is written to the API server: at most a few requests at a time, the urgent kinds first, the latest of
// each key only, and again after a failure. Nothing else waits for any of it.

import { backoffMs } from './backoff.ts';
import { ApiError } from './client.ts';

/** In order of urgency. */
const kinds = ['status', 'record', 'event'] as const;
export type WriteKind = (typeof kinds)[number];

/** Requests in flight: more would only queue before the server's own fairness, and our Lease with them. */
export const mostInFlight = 16;
/** Events that wait: those beyond are dropped and counted, since the status says the same. */
const mostEvents = 1000;

/** Makes the request. Rejecting with 429, 5xx or without an answer means again; anything else is the end. */
export type Write = (signal: AbortSignal) => Promise<void>;

export interface WritesInput {
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** False while this process does not rule: what waits goes on waiting. */
  readonly mayWrite: () => boolean;
  /** The server refused a write for good. */
  readonly onRefused: (kind: WriteKind, key: string, error: Error) => void;
}

export class Writes {
  readonly #input: WritesInput;
  readonly #waiting: Readonly<Record<WriteKind, Map<string, Write>>> = {
    ...{ status: new Map(), record: new Map(), event: new Map() },
  };
  readonly #inFlight = new Set<string>();
  #pausedUntilMs = 0;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #dropped = 0;
  #done = 0;

  constructor(input: WritesInput) {
    this.#input = input;
    input.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  /** Events that were not written because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Writes that went through. */
  get done(): number {
    return this.#done;
  }

  get waiting(): number {
    return kinds.reduce((sum, kind) => sum + this.#waiting[kind].size, this.#inFlight.size);
  }

  /** Puts a write in line, in the place of one that waits under the same key. */
  put(kind: WriteKind, key: string, write: Write): void {
    if (kind === 'event' && this.#waiting.event.size >= mostEvents) this.#dropped++;
    else this.#waiting[kind].set(key, write);
    this.wake();
  }

  /** Something may be possible now that was not before. */
  wake(): void {
    while (this.#inFlight.size < mostInFlight && this.#mayGo()) {
      const next = this.#next();
      if (next === null) return;
      void this.#run(next);
    }
  }

  #mayGo(): boolean {
    const { signal, mayWrite } = this.#input;
    return !signal.aborted && mayWrite() && performance.now() >= this.#pausedUntilMs;
  }

  /** The most urgent write whose key has none in flight: two of one key could overtake each other. */
  #next(): { readonly kind: WriteKind; readonly key: string; readonly write: Write } | null {
    for (const kind of kinds) {
      for (const [key, write] of this.#waiting[kind]) {
        if (this.#inFlight.has(`${kind} ${key}`)) continue;
        this.#waiting[kind].delete(key);
        return { kind, key, write };
      }
    }
    return null;
  }

  async #run({ kind, key, write }: { kind: WriteKind; key: string; write: Write }): Promise<void> {
    const { signal, onRefused } = this.#input;
    this.#inFlight.add(`${kind} ${key}`);
    try {
      await write(signal);
      this.#failures = 0;
      this.#done++;
    } catch (error) {
      if (!signal.aborted) {
        if (isPassing(error)) this.#again({ kind, key, write }, error);
        else onRefused(kind, key, error as Error);
      }
    } finally {
      this.#inFlight.delete(`${kind} ${key}`);
      this.wake();
    }
  }

  /** Puts it back, unless something newer waits under its key, and leaves the server alone for a while. */
  #again({ kind, key, write }: { kind: WriteKind; key: string; write: Write }, error: unknown): void {
    if (!this.#waiting[kind].has(key)) this.#waiting[kind].set(key, write);
    this.#failures++;
    const asked = error instanceof ApiError ? error.retryAfterMs : null;
    const waitMs = asked ?? backoffMs(this.#failures, this.#input.random());
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, performance.now() + waitMs);
    this.#arm();
  }

  /** A timer counts from the beginning of its turn, so that it may come before the time that was meant. */
  #arm(): void {
    clearTimeout(this.#timer);
    const leftMs = this.#pausedUntilMs - performance.now();
    const onTime = () => (performance.now() < this.#pausedUntilMs ? this.#arm() : this.wake());
    this.#timer = setTimeout(onTime, Math.ceil(leftMs)).unref();
  }
}

/** True for what is no answer to the request itself: it may go through the next time. */
function isPassing(error: unknown): boolean {
  return !(error instanceof ApiError) || error.code === 401 || error.code === 429 || error.code >= 500;
}
