// How late the event loop of the controller was, by the histogram in its metrics; and how much of that it
// caused itself, by late-looks.ts.

import { existsSync, readFileSync } from 'node:fs';

export interface LagResult {
  /** The number of looks at the clock, and of those that were over the bound. */
  readonly looks: number;
  readonly over50ms: number;
  /** The smallest bound of the histogram that no look was over. */
  readonly worstAtMostMs: number;
}

/** A late look, and what the main thread did since the look before it. */
export interface LateLook {
  /** By the clock on the wall. */
  readonly atMs: number;
  readonly lateMs: number;
  readonly ranMs: number;
  /** Ready to run, while other threads ran. */
  readonly waitedMs: number;
}

/** Lateness counts as our own as far as the thread was not waiting for a processor. */
export interface OwnLag {
  /** Looks that were over the bound even without the waiting. */
  readonly over50ms: number;
  readonly worstMs: number;
  /** The latest, worst first. */
  readonly worst: readonly LateLook[];
}

const toldLooks = 5;

/** Reads from the file of late-looks.ts the looks that were due between two moments. */
export function ownLag(file: string, fromMs: number, toMs: number): OwnLag {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
  const looks = lines
    .map((line) => JSON.parse(line) as LateLook)
    .filter(({ atMs, lateMs }) => atMs - lateMs > fromMs && atMs <= toMs);
  const own = looks.map(({ lateMs, waitedMs }) => lateMs - waitedMs);
  return {
    over50ms: own.filter((ms) => ms > boundSeconds * 1000).length,
    worstMs: Math.round(Math.max(0, ...own)),
    worst: looks.sort((a, b) => b.lateMs - a.lateMs).slice(0, toldLooks),
  };
}

/** How many looks were at most this late, by the bound in seconds. */
export type LagCounts = ReadonlyMap<number, number>;

const series = /^vipward_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm;
const boundSeconds = 0.05;

export function lagCounts(metrics: string): LagCounts {
  const counts = new Map<number, number>();
  for (const [, bound, count] of metrics.matchAll(series))
    counts.set(bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(count));
  return counts;
}

/** The difference between two scrapes. */
export function lagBetween(before: LagCounts, after: LagCounts): LagResult {
  const within = (bound: number): number => (after.get(bound) ?? 0) - (before.get(bound) ?? 0);
  const looks = within(Number.POSITIVE_INFINITY);
  const worst = [...after.keys()].find((bound) => within(bound) === looks) ?? Number.NaN;
  return { looks, over50ms: looks - within(boundSeconds), worstAtMostMs: worst * 1000 };
}
