// What is written to the API server: at most a few requests at a time, the urgent kinds first, the latest of
// each key only, and again after a failure. Nothing else waits for any of it.

import { backoffMs } from './backoff.ts';
import { ApiError } from './client.ts';

/** In order of urgency. */
const kinds = ['status', 'preference', 'record', 'event'] as const;
export type WriteKind = (typeof kinds)[number];

/** Requests in flight: more would only queue before the server's own fairness, and our Lease with them. */
export const mostInFlight = 16;
/** Events that wait: those beyond are dropped, since the status says the same. */
const mostEvents = 5000;
const usualForbiddenMs = 10_000;
/** Refusals of a kind that are kept to be told: a right that is missing refuses all for the same reason. */
const mostRefused = 20;

/**
 * Makes the request. Rejecting with 429, 5xx or without an answer means again, 404 that nobody needs it any
 * more; anything else is a refusal.
 */
export type Write = (signal: AbortSignal) => Promise<void>;

interface Entry {
  readonly kind: WriteKind;
  readonly key: string;
  readonly write: Write;
}

export interface WritesInput {
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** False while this process does not rule: what waits goes on waiting. */
  readonly mayWrite: () => boolean;
  /** The server refused a write for good. */
  readonly onRefused: (kind: WriteKind, key: string, error: Error) => void;
  /** After how long what was forbidden is tried again. */
  readonly forbiddenMs?: number;
}

export class Writes {
  readonly #input: WritesInput;
  readonly #waiting: Readonly<Record<WriteKind, Map<string, Write>>> = {
    ...{ status: new Map(), preference: new Map(), record: new Map(), event: new Map() },
  };
  readonly #inFlight = new Set<string>();
  readonly #refused = new Map<string, string>();
  readonly #forbidden = new Map<string, Entry>();
  #forbiddenTimer: NodeJS.Timeout | undefined;
  #pausedUntilMs = 0;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #dropped = 0;
  #done = 0;

  constructor(input: WritesInput) {
    this.#input = input;
    const stop = () => {
      clearTimeout(this.#timer);
      clearTimeout(this.#forbiddenTimer);
    };
    input.signal.addEventListener('abort', stop, { once: true });
  }

  /** Events that were not written because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Writes that went through. */
  get done(): number {
    return this.#done;
  }

  /** What the server refused for good and has not taken since: kind and key, and its words. */
  get refused(): ReadonlyMap<string, string> {
    return this.#refused;
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

  /** What this key stands for is gone: nothing is to be written of it, and no refusal to be told. */
  drop(kind: WriteKind, key: string): void {
    this.#waiting[kind].delete(key);
    this.#refused.delete(`${kind} ${key}`);
    this.#forbidden.delete(`${kind} ${key}`);
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
  #next(): Entry | null {
    for (const kind of kinds) {
      for (const [key, write] of this.#waiting[kind]) {
        if (this.#inFlight.has(`${kind} ${key}`)) continue;
        this.#waiting[kind].delete(key);
        return { kind, key, write };
      }
    }
    return null;
  }

  async #run(entry: Entry): Promise<void> {
    const { kind, key, write } = entry;
    const name = `${kind} ${key}`;
    this.#inFlight.add(name);
    try {
      await write(this.#input.signal);
      this.#settled(name);
    } catch (error) {
      if (isPassing(error)) this.#again(entry, error);
      else if (isGone(error)) this.#settled(name);
      else this.#refuse(entry, error as Error);
    } finally {
      this.#inFlight.delete(name);
      this.wake();
    }
  }

  #settled(name: string): void {
    this.#failures = 0;
    this.#done++;
    this.#refused.delete(name);
  }

  #refuse(entry: Entry, error: Error): void {
    if (this.#input.signal.aborted) return;
    const { kind, key } = entry;
    const name = `${kind} ${key}`;
    const told = this.#refused.keys().filter((other) => other.startsWith(`${kind} `));
    if (this.#refused.has(name) || [...told].length < mostRefused) this.#refused.set(name, error.message);
    this.#input.onRefused(kind, key, error);
    if (!(error instanceof ApiError) || error.code !== 403) return;
    // A right that is missing may be given at any time, and nobody tells us.
    this.#forbidden.set(name, entry);
    const { forbiddenMs = usualForbiddenMs } = this.#input;
    this.#forbiddenTimer ??= setTimeout(() => this.#tryForbidden(), forbiddenMs).unref();
  }

  #tryForbidden(): void {
    this.#forbiddenTimer = undefined;
    const entries = [...this.#forbidden.values()];
    this.#forbidden.clear();
    for (const { kind, key, write } of entries) {
      if (!this.#waiting[kind].has(key)) this.put(kind, key, write);
    }
  }

  /** Puts it back, unless something newer waits under its key, and leaves the server alone for a while. */
  #again({ kind, key, write }: Entry, error: unknown): void {
    if (this.#input.signal.aborted) return;
    if (!this.#waiting[kind].has(key)) this.#waiting[kind].set(key, write);
    this.#refused.delete(`${kind} ${key}`);
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

/** True where what a write is about went before it, such as the namespace of an Event. */
function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.code === 404;
}
