// Counters and histograms that the agent keeps from its start, whether metrics are scraped or not.

import { Histogram } from '../process/histogram.ts';
import type { Address } from '../state/address.ts';

/** Upper bounds in seconds, from 50 us on: a commit takes at least 20 us. */
const latencyBuckets: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10,
];

/** The sum of counters by key. It never falls, though counters come, go and restart at 0. */
export class Total<Key> {
  #sum = 0;
  #last: ReadonlyMap<Key, number> = new Map();

  get sum(): number {
    return this.#sum;
  }

  /** Takes the present values of all counters. A counter with a lower value than before has restarted. */
  follow(now: ReadonlyMap<Key, number>): void {
    for (const [key, value] of now) {
      const before = this.#last.get(key) ?? 0;
      this.#sum += value >= before ? value - before : value;
    }
    this.#last = now;
  }
}

/** The doubts whose repairs count as drift. */
const driftKinds = ['address', 'events-lost', 'link', 'network', 'refused', 'rules', 'trouble'] as const;

export class Tallies {
  readonly commit: Histogram = new Histogram(latencyBuckets);
  readonly update: Histogram = new Histogram(latencyBuckets);
  readonly dropped: Total<Address> = new Total();
  readonly repairs: Map<string, number> = new Map(driftKinds.map((kind) => [kind, 0]));
  /** VIPs whose address turned out to be this node's, its gateway's, a name server's, or another host's. */
  conflicts = 0;

  /** Start, first sync and config changes add missing objects; only other doubts repair drift. */
  repair(kind: string, objects: number): void {
    if (kind !== 'start' && kind !== 'first-sync' && kind !== 'config')
      this.repairs.set(kind, (this.repairs.get(kind) ?? 0) + objects);
  }
}
