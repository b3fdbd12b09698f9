// Measures the time from the publication of a rules version to each node's ack, for the lag and the
// histogram.

import { Histogram } from '../../process/histogram.ts';

/** Upper bounds of the histogram in seconds; the fastest updates take tens of microseconds. */
const latencyBuckets: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Publications that are remembered; acks of older ones are not measured. */
const rememberedPublications = 4096;

export class Latency {
  readonly seconds: Histogram = new Histogram(latencyBuckets);
  readonly #nowMs: () => number;
  readonly #atMs: Float64Array = new Float64Array(rememberedPublications);
  #newest = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  published(seq: number): void {
    this.#atMs[seq % rememberedPublications] = this.#nowMs();
    this.#newest = seq;
  }

  /** Milliseconds since the publication of a version; null if it is not remembered. */
  sinceMs(seq: number): number | null {
    if (seq < 1 || seq > this.#newest || seq <= this.#newest - rememberedPublications) return null;
    return this.#nowMs() - (this.#atMs[seq % rememberedPublications] ?? 0);
  }

  /** Counts an ack and returns its latency in milliseconds; null if the publication is not remembered. */
  acknowledged(seq: number): number | null {
    const ms = this.sinceMs(seq);
    if (ms === null) return null;
    this.seconds.observe(ms / 1000);
    return ms;
  }
}
