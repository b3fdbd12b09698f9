// Keeps one resource of the API server up to date: lists it in pages, then watches it. While anything fails,
// the last objects stay; a list that was not read to its end is never used.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Mapping } from '../fields.ts';
import { backoffMs } from './backoff.ts';
import { type ApiClient, ApiError } from './client.ts';
import { Lines } from './lines.ts';
import { listPages } from './list-pages.ts';
import { parseWatchEvent } from './watch-event.ts';

/** The objects that are new or changed since the last call, and the keys of those that are gone. */
export interface ObjectChanges<Value> {
  readonly set: ReadonlyMap<string, Value>;
  readonly remove: readonly string[];
}

export interface ListWatchInput<Value> {
  readonly client: ApiClient;
  /** Such as `/api/v1/services`. */
  readonly path: string;
  readonly fieldSelector?: string;
  /** Extracts the fields to keep. Must not throw: an object that is wrong is a value too. */
  readonly cut: (object: Mapping, key: string) => Value;
  /** The next change waits until this one was followed. */
  readonly onChange: (changes: ObjectChanges<Value>) => Promise<void> | void;
  /** Rejects if the API server belongs to another cluster than before: its answer is dropped. */
  readonly confirm?: (signal: AbortSignal) => Promise<void>;
  /** `isComplete` or `problem` has changed. */
  readonly onState: () => void;
  readonly signal: AbortSignal;
  readonly random: () => number;
  readonly pageItems?: number;
}

const usualPageItems = 500;
/** The server ends a watch after one to two times this, so that watches spread over the servers. */
const watchLeastS = 300;
/** A bookmark comes every minute: a stream that is silent for this long is dead. */
const silenceMs = 90_000;
/** A watch that lived this long is no failure, whatever ended it. */
const goodWatchMs = 1000;
/** Stands for the version of an object that may have changed: no server gives it out. */
const unknownVersion = '';
/** After this many requests without an answer, a server that returns may come from an older backup. */
const absentRequests = 4;

export class ListWatch<Value> {
  readonly #input: ListWatchInput<Value>;
  /** Versions by key: the objects themselves are passed on and not kept. */
  #held = new Map<string, string>();
  /** The version from which to watch; null: events may be missing, so list first. */
  #version: string | null = null;
  #isComplete = false;
  #problem: string | null = null;
  #failures = 0;
  /** Requests in a row without an answer. */
  #unanswered = 0;
  /** Aborts the list, the watch or the wait in progress. */
  #turn = new AbortController();
  readonly #waiting: (() => void)[] = [];

  constructor(input: ListWatchInput<Value>) {
    this.#input = input;
  }

  get path(): string {
    return this.#input.path;
  }

  /** A list was read to its end once; from then on the objects are complete, if perhaps old. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** The last failure, until a request succeeds. */
  get problem(): string | null {
    return this.#problem;
  }

  /** The objects read so far. */
  get objects(): Pick<ReadonlyMap<string, unknown>, 'size' | 'has'> {
    return this.#held;
  }

  /** Lists and watches until the signal is aborted. */
  async run(): Promise<void> {
    const { signal } = this.#input;
    while (!signal.aborted) {
      this.#turn = new AbortController();
      const turn = AbortSignal.any([signal, this.#turn.signal]);
      try {
        if (this.#version === null) await this.#list(turn);
        await this.#watch(turn);
      } catch (error) {
        if (!turn.aborted) await this.#failed(error as Error, turn);
      }
    }
  }

  /** Lists everything again and resolves when that is done; the last objects stay meanwhile. */
  listAgain(): Promise<void> {
    this.#version = null;
    this.#turn.abort();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The server was restored from a backup and reuses its versions: every object is reported again. */
  restored(): Promise<void> {
    this.#distrust();
    return this.listAgain();
  }

  #distrust(): void {
    this.#version = null;
    for (const key of this.#held.keys()) this.#held.set(key, unknownVersion);
  }

  /** Reads all pages, and only then compares. */
  async #list(turn: AbortSignal): Promise<void> {
    const { client, confirm, pageItems = usualPageItems } = this.#input;
    const [found, set] = [new Map<string, string>(), new Map<string, Value>()];
    let version: string | null = null;
    for await (const page of listPages({ client, pathOf: this.#query, pageItems, signal: turn })) {
      version = page.resourceVersion;
      for (const { key, resourceVersion, object } of page.items) {
        found.set(key, resourceVersion);
        if (this.#held.get(key) !== resourceVersion) set.set(key, this.#input.cut(object, key));
      }
    }
    await confirm?.(turn);
    // Following a long list takes long: other work has its turn first.
    await sleep(0, undefined, { signal: turn });
    const remove = [...this.#held.keys()].filter((key) => !found.has(key));
    this.#held = found;
    this.#version = version;
    this.#isComplete = true;
    await this.#input.onChange({ set, remove });
    // A listAgain() during this list asked for another one.
    turn.throwIfAborted();
    this.#problem = null;
    this.#input.onState();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  readonly #query = (words: Readonly<Record<string, string>>): string => {
    const { path, fieldSelector } = this.#input;
    const chosen = fieldSelector === undefined ? {} : { fieldSelector };
    return `${path}?${new URLSearchParams({ ...words, ...chosen })}`;
  };

  /** Follows one stream to its end. The end that the server makes at timeoutSeconds is no failure. */
  async #watch(turn: AbortSignal): Promise<void> {
    const { client, random } = this.#input;
    const path = this.#query({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#version ?? '',
      timeoutSeconds: String(Math.round(watchLeastS * (1 + random()))),
    });
    const startedMs = performance.now();
    const silence = new AbortController();
    const body = await client.open({ path, signal: AbortSignal.any([turn, silence.signal]) });
    await this.#input.confirm?.(turn).catch((error) => {
      body.destroy();
      throw error;
    });
    this.#unanswered = 0;
    if (this.#problem !== null) {
      this.#problem = null;
      this.#input.onState();
    }
    const onSilence = () => silence.abort(new Error(`nothing heard for ${silenceMs} ms`));
    const timer = setTimeout(onSilence, silenceMs).unref();
    const lines = new Lines();
    try {
      for await (const chunk of body) {
        timer.refresh();
        await this.#follow(lines.push(chunk as Uint8Array));
      }
    } finally {
      clearTimeout(timer);
      if (performance.now() - startedMs > goodWatchMs) this.#failures = 0;
    }
    if (performance.now() - startedMs < goodWatchMs) throw new Error('the watch ended at once');
  }

  /** The events of one chunk are one change. */
  async #follow(lines: Iterable<string>): Promise<void> {
    const set = new Map<string, Value>();
    const remove = new Set<string>();
    try {
      for (const line of lines) this.#event(line, set, remove);
    } finally {
      if (set.size > 0 || remove.size > 0) await this.#input.onChange({ set, remove: [...remove] });
    }
  }

  #event(line: string, set: Map<string, Value>, remove: Set<string>): void {
    const event = parseWatchEvent(line);
    switch (event.kind) {
      case 'set': {
        this.#held.set(event.key, event.resourceVersion);
        set.set(event.key, this.#input.cut(event.object, event.key));
        remove.delete(event.key);
        break;
      }
      case 'remove':
        set.delete(event.key);
        if (this.#held.delete(event.key)) remove.add(event.key);
        break;
      case 'bookmark':
        break;
      case 'error':
        throw new ApiError(event.code, `${this.path}: ${event.code} ${event.message}`, null);
      default:
        event satisfies never;
    }
    this.#version = event.resourceVersion;
    this.#failures = 0;
  }

  /** Reports the failure and waits: as long as the server asks, else longer with each failure. */
  async #failed(error: Error, turn: AbortSignal): Promise<void> {
    this.#failures++;
    const { code, retryAfterMs } = error instanceof ApiError ? error : { code: null, retryAfterMs: null };
    this.#unanswered = code === null ? this.#unanswered + 1 : 0;
    // 410: the server has dropped the events since our version, so some may be missing.
    if (code === 410 || this.#unanswered >= absentRequests) this.#version = null;
    // 504: the server has not reached our version, as after a restore from a backup.
    if (code === 504) this.#distrust();
    if (code !== 410) this.#complain(error);
    const waitMs = retryAfterMs ?? backoffMs(this.#failures, this.#input.random());
    await sleep(waitMs, undefined, { signal: turn }).catch(() => undefined);
  }

  #complain({ message, cause }: Error): void {
    const words = cause instanceof Error ? `${message}: ${cause.message}` : message;
    if (this.#problem === words) return;
    this.#problem = words;
    this.#input.onState();
  }
}
