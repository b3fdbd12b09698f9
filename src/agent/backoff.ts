// Something that is tried again and again as long as it has not come right, ever less often.

export interface BackoffTimes {
  readonly firstMs: number;
  /** Each wait is twice as long as the one before, up to this. */
  readonly limitMs: number;
}

export class Backoff implements Disposable {
  readonly #times: BackoffTimes;
  readonly #again: () => void;
  #timer: NodeJS.Timeout | undefined;
  #waits = 0;

  constructor(times: BackoffTimes, again: () => void) {
    this.#times = times;
    this.#again = again;
  }

  /** Calls `again` when it is due, once for all who ask before. */
  wait(): void {
    if (this.#timer !== undefined) return;
    const { firstMs, limitMs } = this.#times;
    const again = (): void => {
      this.#timer = undefined;
      this.#again();
    };
    this.#timer = setTimeout(again, Math.min(limitMs, firstMs * 2 ** this.#waits++)).unref();
  }

  /** It has come right: the next wait is a short one. */
  reset(): void {
    this.#waits = 0;
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
