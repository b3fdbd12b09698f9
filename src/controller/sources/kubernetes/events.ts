// Tells the cluster what happened, as Events: of each object and reason one at a time, which counts what is
// said again, and the latest of what else there was to say once its time is over.

import { randomBytes } from 'node:crypto';
import { type ApiClient, ApiError } from './client.ts';
import { type EventDraft, eventKey, eventObject, eventsPath, seriesPatch } from './event-object.ts';
import type { Writes } from './writes.ts';

export interface EventsInput {
  readonly client: ApiClient;
  readonly writes: Writes;
  readonly identity: string;
  readonly nowMs: () => number;
}

/** After one was written, what else there is to say of its object and reason waits this long. */
export const seriesMs: number = 5 * 60_000;
/** How often it is looked whose time is over: one Event is late by that. */
export const lookMs: number = 10_000;
/** Objects and reasons that are remembered; those beyond are forgotten, the oldest first. */
const mostSeries = 10_000;
const mergePatch = 'application/merge-patch+json';

/** Something that was said, and when. */
interface DraftEvent {
  readonly draft: EventDraft;
  readonly wallMs: number;
}

/** What is said of one object by one reason. */
interface Series {
  /** What was said last; null once it is written, for there may be many. */
  draft: EventDraft | null;
  wallMs: number;
  /** How often that was said since anything of it was written. */
  times: number;
  /** The Event that was made last; its note can never be another. */
  event: { readonly name: string; readonly note: string; readonly count: number } | null;
  writtenMs: number;
}

export class Events {
  readonly #input: EventsInput;
  readonly #series = new Map<string, Series>();
  /** Those of which something was said since an Event was written. */
  readonly #untold = new Map<string, Series>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: EventsInput) {
    this.#input = input;
  }

  /** Says it: at once if it is new, else when the time of the Event before it is over. */
  say(draft: EventDraft): void {
    const key = eventKey(draft);
    const series = this.#series.get(key) ?? this.#begin(key, draft);
    const before = series.draft?.note ?? series.event?.note;
    series.times = before === draft.note ? series.times + 1 : 1;
    series.draft = draft;
    series.wallMs = Date.now();
    this.#untold.set(key, series);
    this.#tell(key, series);
    this.#arm();
  }

  #begin(key: string, draft: EventDraft): Series {
    const [oldest] = this.#series.size >= mostSeries ? this.#series.keys() : [];
    if (oldest !== undefined) {
      this.#series.delete(oldest);
      this.#untold.delete(oldest);
    }
    const series: Series = { draft, wallMs: 0, times: 0, event: null, writtenMs: Number.NEGATIVE_INFINITY };
    this.#series.set(key, series);
    return series;
  }

  /** Puts in line what there is to say, if its time has come. */
  #tell(key: string, series: Series): void {
    // A whole number is kept in its place, any other as an object of its own.
    const nowMs = Math.floor(this.#input.nowMs());
    if (nowMs - series.writtenMs < seriesMs) return;
    this.#untold.delete(key);
    // What was said while the one before waited in line was written with it.
    if (series.times === 0) return;
    series.writtenMs = nowMs;
    this.#input.writes.put('event', key, (signal) => this.#write(series, signal));
  }

  #arm(): void {
    if (this.#untold.size > 0) this.#timer ??= setTimeout(this.#look, lookMs).unref();
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    for (const [key, series] of this.#untold) this.#tell(key, series);
    this.#arm();
  };

  /** Writes what is to be said by now: counts it where the last Event says the same, else makes another. */
  async #write(series: Series, signal: AbortSignal): Promise<void> {
    const { draft, wallMs, times, event } = series;
    if (draft === null) return;
    const told = { draft, wallMs };
    const same = event?.note === draft.note ? event : null;
    const count = (same?.count ?? 0) + times;
    const isCounted = same !== null && (await this.#count(same.name, count, told, signal));
    if (isCounted) series.event = { ...same, count };
    else series.event = { name: await this.#make(told, signal), note: draft.note, count: times };
    if (series.draft?.note === draft.note) series.times -= times;
    if (series.times === 0) series.draft = null;
  }

  async #make({ draft, wallMs }: DraftEvent, signal: AbortSignal): Promise<string> {
    const { client, identity } = this.#input;
    // Where a name is cut there may be a dash or a dot, before which no other dot may stand.
    const about = draft.regarding.name.slice(0, 200).replace(/[-.]+$/, '');
    const name = `${about}.${randomBytes(8).toString('hex')}`;
    const body = eventObject({ draft, name, identity, wallMs });
    await client.json({ method: 'POST', path: eventsPath(draft.regarding), body, signal });
    return name;
  }

  /** False where there is no such Event any more: one lives for an hour. */
  async #count(
    name: string,
    count: number,
    { draft, wallMs }: DraftEvent,
    signal: AbortSignal,
  ): Promise<boolean> {
    const path = `${eventsPath(draft.regarding)}/${name}`;
    const body = seriesPatch(count, wallMs);
    try {
      await this.#input.client.json({ method: 'PATCH', path, body, contentType: mergePatch, signal });
      return true;
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 404) throw error;
      return false;
    }
  }
}
