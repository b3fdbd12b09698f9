// A summary of many measurements of one thing: the median, the 99th percentile, and the number.

export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly samples: number;
}

/** Rounded to a tenth of the unit of the measurements. */
function spread(samples: readonly number[]): Spread {
  const sorted = Float64Array.from(samples).sort();
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), samples: sorted.length };
}

export function median(samples: readonly number[]): number {
  return spread(samples).p50;
}

/** The smallest value that at least this part of the measurements does not exceed. */
function quantile(sorted: Float64Array, part: number): number {
  const value = sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
  return Math.round(value * 10) / 10;
}

/** Measurements of the three operations, in microseconds by default. */
export type Samples = { readonly [Name in 'add' | 'change' | 'remove']: number[] };

export type Spreads = { readonly [Name in keyof Samples]: Spread };

export function noSamples(): Samples {
  return { add: [], change: [], remove: [] };
}

export function spreads({ add, change, remove }: Samples): Spreads {
  return { add: spread(add), change: spread(change), remove: spread(remove) };
}
