// How late the event loop of the controller was, by the histogram of its metrics page.

export interface LagResult {
  /** Looks at the clock, and those that were over the bound. */
  readonly looks: number;
  readonly over50ms: number;
  /** The smallest bound of the histogram that none was over. */
  readonly worstAtMostMs: number;
}

/** How many looks were at most so late, by the bound in seconds. */
export type LagCounts = ReadonlyMap<number, number>;

const series = /^vipward_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm;
const boundSeconds = 0.05;

export function lagCounts(metrics: string): LagCounts {
  const counts = new Map<number, number>();
  for (const [, bound, count] of metrics.matchAll(series))
    counts.set(bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(count));
  return counts;
}

/** What came between two scrapes. */
export function lagBetween(before: LagCounts, after: LagCounts): LagResult {
  const within = (bound: number): number => (after.get(bound) ?? 0) - (before.get(bound) ?? 0);
  const looks = within(Number.POSITIVE_INFINITY);
  const worst = [...after.keys()].find((bound) => within(bound) === looks) ?? Number.NaN;
  return { looks, over50ms: looks - within(boundSeconds), worstAtMostMs: worst * 1000 };
}
