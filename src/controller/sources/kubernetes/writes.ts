// Queues the writes to the API server: a few requests at a time, urgent kinds first, only the latest of each
// key, repeated after a failure. Nothing else waits for a write, and a failing write holds up no other.

import { backoffMostMs, backoffMs } from './backoff.ts';
import { ApiError } from './client.ts';
import { Pause } from './pause.ts';

/** In order of urgency. */
const kinds = ['status', 'preference', 'record', 'event'] as const;
export type WriteKind = (typeof kinds)[number];
type ByKind<T> = Readonly<Record<WriteKind, T>>;

/** Requests in flight: more would queue in the server's priority and fairness, with our Lease behind them. */
export const mostInFlight = 16;
/** Most in flight of kinds other than status: however slow these are, a status finds a slot. */
export const mostBeside = 14;
/** Most in flight of kinds with failing keys: the other kinds keep the rest, however long a failure takes. */
const mostOfFailing = 12;
/** After this many bad answers in a row a kind rests: all of its writes may be failing. */
const badAnswers = 16;
/** Most waiting Events; further ones are dropped, since the status says the same. */
const mostEvents = 5000;
const usualRestMs = 10_000;
/** Most refusals of a kind that are kept: a missing right refuses every write for the same reason. */
const mostRefused = 20;

/**
 * Makes the request. If it rejects with 409, 429, 5xx or without an answer, it is repeated; if the object is
 * gone it is not needed; any other error is a refusal. After an error as the answer its key rests a while.
 */
export type Write = (signal: AbortSignal) => Promise<void>;

interface Entry {
  readonly kind: WriteKind;
  readonly key: string;
  readonly write: Write;
}

/** A resting key, and the entry to write afterwards. */
interface Rest {
  entry: Entry | null;
}

export interface WritesInput {
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** False while this process does not rule: waiting writes go on waiting. */
  readonly mayWrite: () => boolean;
  /** The server refused a write for good. */
  readonly onRefused: (kind: WriteKind, key: string, error: Error) => void;
  /** How long a refused or forbidden key rests, and the longest rest of a failing one. */
  readonly restMs?: number;
}

export class Writes {
  readonly #input: WritesInput;
  readonly #waiting: ByKind<Map<string, Write>> = eachKind(() => new Map());
  readonly #inFlight: ByKind<Set<string>> = eachKind(() => new Set());
  readonly #refused = new Map<string, string>();
  readonly #resting = new Map<string, Rest>();
  readonly #restingKinds = new Set<WriteKind>();
  /** How often in a row the server answered each key with an error; 0 if it was forbidden. */
  readonly #failing: ByKind<Map<string, number>> = eachKind(() => new Map());
  /** Bad answers in a row, by kind. */
  readonly #badAnswers = { status: 0, preference: 0, record: 0, event: 0 };
  readonly #pause = new Pause(() => this.wake());
  #failures = 0;
  #dropped = 0;

  constructor(input: WritesInput) {
    this.#input = input;
    input.signal.addEventListener('abort', () => this.#pause.stop(), { once: true });
  }

  /** Events that were dropped because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Refusals that no later success has cleared: kind and key, and the server's message. */
  get refused(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  get waiting(): number {
    const resting = this.#resting.values().reduce((sum, { entry }) => sum + Number(entry !== null), 0);
    return kinds.reduce((sum, kind) => sum + this.#waiting[kind].size, this.#inFlightOf(kinds) + resting);
  }

  /** Queues a write in place of one that waits under the same key. */
  put(kind: WriteKind, key: string, write: Write): void {
    const rest = this.#resting.get(`${kind} ${key}`);
    if (rest !== undefined) rest.entry = { kind, key, write };
    else if (kind !== 'event' || this.#waiting.event.size < mostEvents) this.#waiting[kind].set(key, write);
    else {
      this.#dropped++;
      this.#failing.event.delete(key);
    }
    this.wake();
  }

  /** The object of this key is gone: drops its waiting write and its refusal. */
  drop(kind: WriteKind, key: string): void {
    this.#waiting[kind].delete(key);
    this.#refused.delete(`${kind} ${key}`);
    this.#resting.delete(`${kind} ${key}`);
    this.#failing[kind].delete(key);
  }

  /** Starts the writes that may go now. */
  wake(): void {
    while (this.#inFlightOf(kinds) < mostInFlight && this.#mayGo()) {
      const next = this.#next();
      if (next === null) return;
      void this.#run(next);
    }
  }

  #mayGo(): boolean {
    const { signal, mayWrite } = this.#input;
    return !signal.aborted && mayWrite() && this.#pause.isOver;
  }

  /** The most urgent write whose key has none in flight: two writes of one key could overtake each other. */
  #next(): Entry | null {
    for (const kind of kinds) {
      if (this.#restingKinds.has(kind) || !this.#hasSlot(kind)) continue;
      const waiting = this.#waiting[kind];
      const isFree = (key: string) => !this.#inFlight[kind].has(key);
      const isWell = (key: string) => !this.#failing[kind].has(key) && isFree(key);
      // Keys that keep failing come last, or their kind would rest before the other keys have their turn.
      const well = this.#badAnswers[kind] > 0 ? waiting.keys().find(isWell) : undefined;
      const key = well ?? waiting.keys().find(isFree);
      const write = key === undefined ? undefined : waiting.get(key);
      if (key === undefined || write === undefined) continue;
      waiting.delete(key);
      return { kind, key, write };
    }
    return null;
  }

  #hasSlot(kind: WriteKind): boolean {
    const beside = kinds.filter((other) => other !== 'status');
    if (kind !== 'status' && this.#inFlightOf(beside) >= mostBeside) return false;
    if (this.#failing[kind].size === 0) return true;
    return this.#inFlightOf(kinds.filter((other) => this.#failing[other].size > 0)) < mostOfFailing;
  }

  #inFlightOf(some: readonly WriteKind[]): number {
    return some.reduce((sum, kind) => sum + this.#inFlight[kind].size, 0);
  }

  async #run(entry: Entry): Promise<void> {
    const { kind, key, write } = entry;
    this.#inFlight[kind].add(key);
    try {
      await write(this.#input.signal);
      this.#badAnswers[kind] = 0;
      this.#settled(entry);
    } catch (error) {
      if (this.#input.signal.aborted) return;
      if (error instanceof ApiError && error.isOfRequest) this.#answered(entry, error);
      else this.#again(entry, error);
    } finally {
      this.#inFlight[kind].delete(key);
      this.wake();
    }
  }

  #settled({ kind, key }: Entry): void {
    this.#failures = 0;
    this.#failing[kind].delete(key);
    this.#refused.delete(`${kind} ${key}`);
  }

  /** The server answered with an error: other keys may succeed, but this one rests. */
  #answered(entry: Entry, error: ApiError): void {
    const { kind, key } = entry;
    const { restMs = usualRestMs, random } = this.#input;
    const failures = (this.#failing[kind].get(key) ?? 0) + 1;
    // 409: the object changed in between. For an Event it means that the Event exists already.
    const isOvertaken = error.code === 409 && kind !== 'event';
    const isFailure = error.code >= 500 || isOvertaken;
    if (error.isNeedless) this.#settled(entry);
    else if (isFailure) this.#refused.delete(`${kind} ${key}`);
    else this.#refuse(entry, error);
    // 403: the missing right may be given at any time, and no event reports that.
    const again = isFailure || (error.code === 403 && !error.isNeedless) ? entry : null;
    if (again === null) this.#failing[kind].delete(key);
    else this.#failing[kind].set(key, isFailure ? failures : 0);
    const growingMs = Math.max(error.retryAfterMs ?? 0, backoffMs(failures, random(), restMs));
    // An object of the same name may be made again soon.
    const refusedMs = error.isNeedless ? Math.min(restMs, backoffMostMs) : restMs;
    this.#rest(entry, again, isFailure ? growingMs : refusedMs);
    const tooMany = ++this.#badAnswers[kind] - badAnswers;
    if (tooMany >= 0) this.#restKind(kind, backoffMs(tooMany + 1, random()));
  }

  #refuse({ kind, key }: Entry, error: Error): void {
    const name = `${kind} ${key}`;
    const told = this.#refused.keys().filter((other) => other.startsWith(`${kind} `));
    if (this.#refused.has(name) || [...told].length < mostRefused) this.#refused.set(name, error.message);
    this.#input.onRefused(kind, key, error);
  }

  /** Rests the key; then `again` is written, or the write that was queued since. */
  #rest({ kind, key }: Entry, again: Entry | null, restMs: number): void {
    const name = `${kind} ${key}`;
    const newer = this.#waiting[kind].get(key);
    this.#waiting[kind].delete(key);
    const rest: Rest = { entry: newer === undefined ? again : { kind, key, write: newer } };
    this.#resting.set(name, rest);
    const over = () => {
      if (this.#resting.get(name) !== rest) return;
      this.#resting.delete(name);
      if (rest.entry !== null) this.put(kind, key, rest.entry.write);
    };
    setTimeout(over, restMs).unref();
  }

  #restKind(kind: WriteKind, restMs: number): void {
    if (this.#restingKinds.has(kind)) return;
    this.#restingKinds.add(kind);
    const over = () => {
      this.#restingKinds.delete(kind);
      this.wake();
    };
    setTimeout(over, restMs).unref();
  }

  /** Queues the write again unless a newer one waits under its key, and pauses all requests for a while. */
  #again({ kind, key, write }: Entry, error: unknown): void {
    if (!this.#waiting[kind].has(key)) this.#waiting[kind].set(key, write);
    this.#refused.delete(`${kind} ${key}`);
    this.#failures++;
    const asked = error instanceof ApiError ? error.retryAfterMs : null;
    this.#pause.lengthen(asked ?? backoffMs(this.#failures, this.#input.random()));
  }
}

function eachKind<T>(make: () => T): ByKind<T> {
  return { status: make(), preference: make(), record: make(), event: make() };
}
