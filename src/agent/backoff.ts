// Schedules retries of a failing action, with waits that double up to a limit.

export interface BackoffTimes {
  readonly firstMs: number;
  /** Each wait is twice the one before, up to this limit. */
  readonly limitMs: number;
}

export class Backoff implements Disposable {
  readonly #times: BackoffTimes;
  readonly #again: () => void;
  #timer: NodeJS.Timeout | undefined;
  #waits = 0;
  #isOver = false;

  constructor(times: BackoffTimes, again: () => void) {
    this.#times = times;
    this.#again = again;
  }

  /** Schedules one call of `again`; does nothing while one is scheduled. */
  wait(): void {
    if (this.#timer !== undefined || this.#isOver) return;
    const { firstMs, limitMs } = this.#times;
    const again = (): void => {
      this.#timer = undefined;
      this.#again();
    };
    this.#timer = setTimeout(again, Math.min(limitMs, firstMs * 2 ** this.#waits++)).unref();
  }

  /** The action has succeeded: cancels the retry, and the next wait is `firstMs` again. */
  reset(): void {
    this.#waits = 0;
    this.#cancel();
  }

  /** Nothing is scheduled any more. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel();
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
