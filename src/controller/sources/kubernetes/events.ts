// Writes Events, one for each object and reason in seriesMs. A repeated note is counted on the last Event; of
// other notes the latest is written once that time is over.

import { randomBytes } from 'node:crypto';
import { type ApiClient, hasCode } from './client.ts';
import { type EventDraft, eventKey, eventObject, eventsPath, seriesPatch } from './event-object.ts';
import type { Writes } from './writes.ts';

export interface EventsInput {
  readonly client: ApiClient;
  readonly writes: Writes;
  readonly identity: string;
  readonly nowMs: () => number;
}

/** After an Event was written, further drafts for its object and reason wait this long. */
export const seriesMs: number = 5 * 60_000;
/** How often waiting drafts are checked: an Event may be late by this. */
export const lookMs: number = 10_000;
/** Objects and reasons that are remembered, as in client-go; beyond these the oldest is forgotten. */
export const mostSeries = 4096;

/** A draft and its time. */
interface DraftEvent {
  readonly draft: EventDraft;
  readonly wallMs: number;
}

/** The last draft and the last Event of one object and reason. */
interface Series {
  /** The last draft; null once it is written, to save memory. */
  draft: EventDraft | null;
  wallMs: number;
  /** How often it came since it was last written. */
  times: number;
  /** The Event that was made last; its note cannot change. */
  event: { readonly name: string; readonly note: string; readonly count: number } | null;
  writtenMs: number;
}

export class Events {
  readonly #input: EventsInput;
  readonly #series = new Map<string, Series>();
  /** Series with a draft that is not written. */
  readonly #untold = new Map<string, Series>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: EventsInput) {
    this.#input = input;
  }

  /**
   * Writes the draft at once if its object and reason are new, else once seriesMs have passed since the last
   * Event.
   */
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

  /** Queues the draft of a series if its time has come. */
  #tell(key: string, series: Series): void {
    // V8 stores an integer in the property itself, any other number as an object of its own.
    const nowMs = Math.floor(this.#input.nowMs());
    if (nowMs - series.writtenMs < seriesMs) return;
    this.#untold.delete(key);
    // Drafts that came while the last write was queued were written with it.
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

  /** Writes the last draft: counts it on the last Event if the note is the same, else makes a new Event. */
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
    // A cut name may end with a dash or a dot, which may not stand before another dot.
    const about = draft.regarding.name.slice(0, 200).replace(/[-.]+$/, '');
    const name = `${about}.${randomBytes(8).toString('hex')}`;
    const body = eventObject({ draft, name, identity, wallMs });
    await client.json({ method: 'POST', path: eventsPath(draft.regarding), body, signal });
    return name;
  }

  /** False if the Event does not exist any more: the API server keeps one for an hour. */
  async #count(
    name: string,
    count: number,
    { draft, wallMs }: DraftEvent,
    signal: AbortSignal,
  ): Promise<boolean> {
    const path = `${eventsPath(draft.regarding)}/${name}`;
    const body = seriesPatch(count, wallMs);
    try {
      await this.#input.client.json({ method: 'PATCH', path, body, signal });
      return true;
    } catch (error) {
      if (!hasCode(error, 404)) throw error;
      return false;
    }
  }
}
