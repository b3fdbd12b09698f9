// Measures how late the event loop runs a timer: the time in which this process serves nobody. The histogram
// of perf_hooks cannot be exported as the cumulative buckets that Prometheus needs.

import { Histogram } from '../process/histogram.ts';

const everyMs = 20;

/** In seconds. Buckets around 0.05 are close, to tell a longer lag from one of about 50 ms. */
const lagBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class LoopLag implements Disposable {
  readonly seconds: Histogram = new Histogram(lagBuckets);
  readonly #timer: NodeJS.Timeout;

  constructor() {
    let dueMs = performance.now() + everyMs;
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      this.seconds.observe(Math.max(0, nowMs - dueMs) / 1000);
      dueMs = nowMs + everyMs;
    }, everyMs).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
