// Limits how often the agent commits: a few commits go at once, later ones keep an interval, because every
// commit makes other writers of nf_tables start over.

/** Commits in a row before the interval applies. */
const burst = 3;

/** A token bucket that gains one commit per interval. */
export class Pace {
  readonly #now: () => number;
  #intervalMs: number;
  #tokens: number = burst;
  #filledAtMs: number;

  /** `now` is a monotonic clock in milliseconds. An interval of 0 never waits. */
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

  /** Takes a commit if one is due and returns 0; otherwise returns how many milliseconds to wait. */
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

/** Not shorter than the read-to-commit cycle of a foreign writer, which grows with the foreign rules. */
export function commitIntervalMs(foreignRules: number): number {
  return Math.max(250, foreignRules * 0.1);
}
