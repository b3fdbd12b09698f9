// Holds back what a cluster says until this process is the leader: a standby applies nothing.

import type { Pool } from '../allocation/pools.ts';
import type { Controller } from '../controller.ts';
import type { Records } from '../records/records.ts';
import type { ServiceChanges, ServiceManifest, SourceReading } from '../service.ts';
import type { Readings } from './readings.ts';

/** A cluster as read so far. Its name is null until it is known. */
export interface Source {
  readonly catalog: Pick<SourceReading, 'services'>;
  readonly cluster: string | null;
  readonly isComplete: boolean;
}

export interface LeaderGateInput {
  readonly controller: Controller;
  readonly source: Source;
  readonly readings: Readings;
  /** The recorded allocations and owners; called once all records were read. */
  readonly remembered: () => Pick<Records, 'allocations' | 'owners' | 'unheld'>;
  readonly mayRule: () => boolean;
}

/** Passes changes on while this process rules. What it misses meanwhile comes later, as one change. */
export class LeaderGate {
  readonly #input: LeaderGateInput;
  #generation: number | null = null;
  #isBehind = false;
  /** Pools to use from the next change on. */
  #pools: readonly Pool[] | null = null;

  constructor(input: LeaderGateInput) {
    this.#input = input;
  }

  /** This process rules now, by this generation. */
  open(generation: number): void {
    this.#generation = generation;
    this.follow({ set: [], remove: [] });
  }

  /** Pools are changed by the leader only: they take addresses from Services and give new ones. */
  readonly usePools = (pools: readonly Pool[]): void => {
    this.#pools = pools;
    this.follow({ set: [], remove: [] });
  };

  follow(changes: ServiceChanges): void {
    const { controller, source, readings, mayRule } = this.#input;
    const [{ cluster, isComplete }, generation] = [source, this.#generation];
    const isKnown = isComplete || controller.isPublished;
    if (generation === null || cluster === null || !mayRule() || !isKnown) {
      this.#isBehind = true;
      return;
    }
    if (controller.cluster === '') controller.rule({ cluster, generation, ...this.#input.remembered() });
    if (this.#pools !== null) void readings.usePools(this.#pools);
    this.#pools = null;
    const all = this.#isBehind ? missed(controller, source) : changes;
    this.#isBehind = false;
    readings.follow(all, isComplete);
  }
}

/** All differences between the controller and the cluster. */
function missed({ allocator }: Controller, { catalog }: Source): ServiceChanges {
  const isNew = (service: ServiceManifest) => allocator.services.get(service.key) !== service;
  return {
    set: [...catalog.services.values()].filter(isNew),
    remove: [...allocator.services.keys()].filter((key) => !catalog.services.has(key)),
  };
}
