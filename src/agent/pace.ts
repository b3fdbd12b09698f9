// How often the agent may commit: at once, but not steadily, for every commit makes other writers of
// nf_tables start over.

/** Commits in a row before the interval is kept. */
const burst = 3;

/** A token bucket that refills one commit an interval. */
export class Pace {
  readonly #now: () => number;
  #intervalMs: number;
  #tokens: number = burst;
  #filledAtMs: number;

  /** `now` gives milliseconds of a clock that only goes forward. An interval of 0 never waits. */
  constructor(intervalMs: number, now: () => number) {
    this.#intervalMs = intervalMs;
    this.#now = now;
    this.#filledAtMs = now();
  }

  set intervalMs(value: number) {
    this.#intervalMs = value;
  }

  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Takes a commit if one is due, and says how long to wait otherwise: 0 means that it was taken. */
  take(): number {
    if (this.#intervalMs === 0) return 0;
    const now = this.#now();
    const filled = Math.floor((now - this.#filledAtMs) / this.#intervalMs);
    if (filled > 0) {
      this.#tokens = Math.min(burst, this.#tokens + filled);
      this.#filledAtMs = this.#tokens === burst ? now : this.#filledAtMs + filled * this.#intervalMs;
    }
    if (this.#tokens === 0) return Math.max(1, this.#filledAtMs + this.#intervalMs - now);
    this.#tokens--;
    return 0;
  }
}

/** No sooner than the slowest foreign read-to-commit cycle, which grows with the rules that others have. */
export function commitIntervalMs(foreignRules: number): number {
  return Math.max(250, foreignRules * 0.1);
}
