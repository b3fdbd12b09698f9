// Holds back what a cluster says until this process is the leader: a standby follows nothing.

import type { Pool } from '../allocation/pools.ts';
import type { Controller } from '../controller.ts';
import type { Records } from '../records/records.ts';
import type { ServiceManifest, SourceReading } from '../service.ts';
import type { ReadingChanges } from '../sources/catalog.ts';
import type { Readings } from './readings.ts';

/** A cluster as it was read so far; its name is null before that is known. */
export interface Source {
  readonly catalog: Pick<SourceReading, 'services'>;
  readonly cluster: string | null;
  readonly isComplete: boolean;
}

export interface LeaderGateInput {
  readonly controller: Controller;
  readonly source: Source;
  readonly readings: Readings;
  /** What was given to whom, and who had it, by the records; asked once they were all read. */
  readonly remembered: () => Pick<Records, 'allocations' | 'owners' | 'unheld'>;
  readonly mayRule: () => boolean;
}

/** Lets changes through while this process rules, and afterwards whatever was missed as one change. */
export class LeaderGate {
  readonly #input: LeaderGateInput;
  #generation: number | null = null;
  #isBehind = false;
  /** Pools that are to be used from the next change on. */
  #pools: readonly Pool[] | null = null;

  constructor(input: LeaderGateInput) {
    this.#input = input;
  }

  /** This process rules now, by that generation. */
  open(generation: number): void {
    this.#generation = generation;
    this.follow({ set: [], remove: [] });
  }

  /** Other pools take addresses away and give new ones: that is for whoever rules. */
  readonly usePools = (pools: readonly Pool[]): void => {
    this.#pools = pools;
    this.follow({ set: [], remove: [] });
  };

  follow(changes: ReadingChanges): void {
    const { controller, source, readings, mayRule } = this.#input;
    if (this.#generation === null || source.cluster === null || !mayRule()) {
      this.#isBehind = true;
      return;
    }
    if (!source.isComplete && !controller.isPublished) {
      this.#isBehind = true;
      return;
    }
    const { cluster } = source;
    if (controller.cluster === '')
      controller.rule({ cluster, generation: this.#generation, ...this.#input.remembered() });
    if (this.#pools !== null) void readings.usePools(this.#pools);
    this.#pools = null;
    const all = this.#isBehind ? missed(controller, source) : changes;
    this.#isBehind = false;
    readings.follow(all, source.isComplete);
  }
}

/** Everything in which the controller differs from the cluster. */
function missed({ allocator }: Controller, { catalog }: Source): ReadingChanges {
  const isNew = (service: ServiceManifest) => allocator.services.get(service.key) !== service;
  return {
    set: [...catalog.services.values()].filter(isNew),
    remove: [...allocator.services.keys()].filter((key) => !catalog.services.has(key)),
  };
}
