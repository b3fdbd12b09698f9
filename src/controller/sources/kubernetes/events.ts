// Tells the cluster what happened, as Events: one for each object and reason, and counts what is said again.

import { randomBytes } from 'node:crypto';
import { type ApiClient, ApiError } from './client.ts';
import { eventObject, eventsPath, type News, newsKey, seriesPatch } from './event-object.ts';
import type { Writes } from './writes.ts';

export interface EventsInput {
  readonly client: ApiClient;
  readonly writes: Writes;
  readonly identity: string;
  readonly nowMs: () => number;
}

/** What is said again within this time is counted, and written when it is over. */
export const seriesMs: number = 5 * 60_000;
/** Objects and reasons that are remembered; those beyond are forgotten, the oldest first. */
const mostSeries = 10_000;
const mergePatch = 'application/merge-patch+json';

interface Series {
  /** The name of the Event; null until one is there. */
  name: string | null;
  count: number;
  writtenMs: number;
}

export class Events {
  readonly #input: EventsInput;
  readonly #series = new Map<string, Series>();

  constructor(input: EventsInput) {
    this.#input = input;
  }

  /** Says it: at once if it is new, else with the others of its kind when their time is over. */
  say(news: News): void {
    const key = newsKey(news);
    const { writes } = this.#input;
    // A whole number is kept in its place, any other as an object of its own.
    const nowMs = Math.floor(this.#input.nowMs());
    const known = this.#series.get(key);
    if (known !== undefined) {
      known.count++;
      if (nowMs - known.writtenMs < seriesMs) return;
      known.writtenMs = nowMs;
      writes.put('event', key, (signal) => this.#count(known, news, signal));
      return;
    }
    const [oldest] = this.#series.size >= mostSeries ? this.#series.keys() : [];
    if (oldest !== undefined) this.#series.delete(oldest);
    const series: Series = { name: null, count: 1, writtenMs: nowMs };
    this.#series.set(key, series);
    writes.put('event', key, (signal) => this.#make(series, news, signal));
  }

  async #make(series: Series, news: News, signal: AbortSignal): Promise<void> {
    const { client, identity } = this.#input;
    const name = `${news.regarding.name.slice(0, 200)}.${randomBytes(8).toString('hex')}`;
    const body = eventObject({ news, name, identity, wallMs: Date.now() });
    await client.json({ method: 'POST', path: eventsPath(news.regarding), body, signal });
    series.name = name;
  }

  /** An Event lives for an hour: where it is gone, it is made anew. */
  async #count(series: Series, news: News, signal: AbortSignal): Promise<void> {
    const { name, count } = series;
    if (name === null) return await this.#make(series, news, signal);
    const path = `${eventsPath(news.regarding)}/${name}`;
    const body = seriesPatch(count, Date.now());
    try {
      await this.#input.client.json({ method: 'PATCH', path, body, contentType: mergePatch, signal });
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 404) throw error;
      await this.#make(series, news, signal);
    }
  }
}
