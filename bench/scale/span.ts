// The times at which the first and the last of many did something that each does once.

/** Milliseconds by the clock of the process that saw them. */
export interface Span {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Counts arrivals, and resolves with the last of them. */
export class SpanOf {
  readonly whole: Promise<Span>;
  readonly #resolve: (span: Span) => void;
  #left: number;
  #firstMs = 0;

  constructor(count: number) {
    const { promise, resolve } = Promise.withResolvers<Span>();
    this.whole = promise;
    this.#resolve = resolve;
    this.#left = count;
  }

  arrived(): void {
    const nowMs = performance.now();
    if (this.#firstMs === 0) this.#firstMs = nowMs;
    if (--this.#left === 0) this.#resolve({ firstMs: this.#firstMs, lastMs: nowMs });
  }
}
