// Puts other pools in use: finds the Services that get something else by them, a thousand a turn, so that
// agents and probes are served in between.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Outcome } from '../allocation/families.ts';
import { type Pool, poolOf } from '../allocation/pools.ts';
import type { Controller } from '../controller.ts';
import type { ServiceManifest } from '../service.ts';

/** Services that are asked in one turn: some ten milliseconds. */
const turnServices = 1000;

export class PoolChange {
  readonly #controller: Controller;
  /** The pools by which everything stands; null while they are those that are in use. */
  #former: readonly Pool[] | null = null;
  #rounds = 0;

  constructor(controller: Controller) {
    this.#controller = controller;
  }

  get isUnderWay(): boolean {
    return this.#former !== null;
  }

  /**
   * Puts pools in use and finds the Services that are to be applied again, with what would become of each.
   * Resolves to null if other pools came meanwhile, or the end. Nothing may be allocated before it resolves.
   */
  async use(pools: readonly Pool[]): Promise<ReadonlyMap<ServiceManifest, Outcome> | null> {
    const { allocator } = this.#controller;
    const round = ++this.#rounds;
    this.#former ??= this.#controller.pools;
    this.#controller.usePools(pools);
    const others = new Map<ServiceManifest, Outcome>();
    let asked = 0;
    for (const service of allocator.services.values()) {
      const outcome = allocator.outcomeOf(service);
      if (!this.#stays(service, outcome) || this.#isRenamed(service, pools)) others.set(service, outcome);
      if (++asked % turnServices !== 0) continue;
      await nextTurn();
      if (round !== this.#rounds) return null;
    }
    this.#former = null;
    return others;
  }

  /** Whoever waits is told that it will not end. */
  stop(): void {
    this.#rounds++;
  }

  /** It keeps all it has. Who would take more may get what others lose, and before those who lose it. */
  #stays({ key, wish }: ServiceManifest, outcome: Outcome): boolean {
    if ('refusal' in outcome) return false;
    const { addresses } = outcome;
    const isContent = wish.policy !== 'PreferDualStack' || addresses.length > 1;
    return isContent && this.#controller.allocator.hasExactly(key, addresses);
  }

  /** Its addresses belong to a pool of another name, which records tell. */
  #isRenamed(service: ServiceManifest, pools: readonly Pool[]): boolean {
    return this.#controller.allocator.addressesOf(service.key).some((address) => {
      return poolOf(this.#former ?? [], address)?.name !== poolOf(pools, address)?.name;
    });
  }
}
