// Changes the pools and finds the Services whose addresses change with them, a thousand a turn, so that
// agents and probes are served in between.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Outcome } from '../allocation/families.ts';
import { type Pool, poolOf } from '../allocation/pools.ts';
import type { Controller } from '../controller.ts';
import type { ServiceManifest } from '../service.ts';

/** Services checked in one turn: some ten milliseconds. */
const turnServices = 1000;

export class PoolChange {
  readonly #controller: Controller;
  /** The pools that the allocation still follows; null unless a change is under way. */
  #former: readonly Pool[] | null = null;
  #rounds = 0;

  constructor(controller: Controller) {
    this.#controller = controller;
  }

  get isUnderWay(): boolean {
    return this.#former !== null;
  }

  /**
   * Puts pools in use and finds the Services to apply again, with their outcomes. Resolves to null after
   * stop(), or if use() was called again. Nothing may be allocated before it resolves.
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

  /** Makes a use() that is under way resolve to null. */
  stop(): void {
    this.#rounds++;
  }

  /** True if the Service keeps its addresses, and prefers no second one that others may lose to it. */
  #stays({ key, wish }: ServiceManifest, outcome: Outcome): boolean {
    if ('refusal' in outcome) return false;
    const { addresses } = outcome;
    const isContent = wish.policy !== 'PreferDualStack' || addresses.length > 1;
    return isContent && this.#controller.allocator.hasExactly(key, addresses);
  }

  /** True if a pool of another name has its addresses: the records tell the name. */
  #isRenamed(service: ServiceManifest, pools: readonly Pool[]): boolean {
    return this.#controller.allocator.addressesOf(service.key).some((address) => {
      return poolOf(this.#former ?? [], address)?.name !== poolOf(pools, address)?.name;
    });
  }
}
