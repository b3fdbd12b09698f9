// What the parts of a benchmark share: how often to measure, and the two rhythms of measuring.

import type { Spreads } from './statistics.ts';

/** Microseconds of one Service back to back, and after a pause each. */
export interface Pair {
  readonly hot: Spreads;
  readonly paced: Spreads;
}

/** Rounds in which the implementations alternate, and cycles of add, change and remove in each. */
export interface Effort {
  readonly rounds: number;
  readonly cycles: number;
  readonly pauseMs: number;
}
