// Services that were given other addresses keep the old ones until the new ones are served, with the ports of
// this Service, and whoever is told of addresses by the source has heard of them.

import { type Address, familyOf } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { Controller } from './controller.ts';
import type { Readings } from './readings/readings.ts';

export interface ReplacingInput {
  readonly controller: Controller;
  readonly readings: Pick<Readings, 'isUndisputed'>;
  /** True if the source itself says by now that the Service has the address, or never said the one before. */
  readonly isTold: (key: ServiceKey, address: Address, before: Address) => boolean;
  /** How long whoever reads that there may take to follow it. */
  readonly followMs: number;
}

/** What agents say comes in many words: they are heard together. */
const gatherMs = 50;
/** What sources are told is not said here: whoever has two addresses is looked at again. */
const againMs = 500;

export class Replacing {
  readonly #input: ReplacingInput;
  /** Since when there is nothing that is waited for, by the monotonic clock; by Service and address. */
  readonly #made = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: ReplacingInput) {
    this.#input = input;
  }

  /** A node has said something: what is awaited may be served. */
  readonly progressed = (): void => this.#lookIn(gatherMs);

  #lookIn(ms: number): void {
    if (this.#input.controller.allocator.outgoing.size > 0)
      this.#timer ??= setTimeout(() => this.#look(), ms).unref();
  }

  #look(): void {
    this.#timer = undefined;
    const { allocator, compilation } = this.#input.controller;
    const gone = new Map<ServiceKey, readonly Address[]>();
    const waits = new Set<string>();
    for (const [key, outgoing] of allocator.outgoing) {
      const over = outgoing.filter((address) => this.#isOver(key, address));
      if (over.length > 0) gone.set(key, over);
      for (const address of outgoing) waits.add(`${key} ${address}`);
    }
    for (const name of this.#made.keys()) if (!waits.has(name)) this.#made.delete(name);
    if (gone.size > 0) compilation.follow(allocator.letGo(gone));
    this.#lookIn(againMs);
  }

  /** What comes instead of the address has been there for as long as others may take to follow it. */
  #isOver(key: ServiceKey, address: Address): boolean {
    const name = `${key} ${address}`;
    if (!this.#isMade(key, address)) {
      this.#made.delete(name);
      return false;
    }
    const nowMs = performance.now();
    const sinceMs = this.#made.get(name) ?? nowMs;
    this.#made.set(name, sinceMs);
    return nowMs - sinceMs >= this.#input.followMs;
  }

  #isMade(key: ServiceKey, before: Address): boolean {
    const { controller, readings, isTold } = this.#input;
    // What waits for its turn, or to be believed, may want something else.
    if (!readings.isUndisputed(key)) return false;
    const all = controller.allocator.addressesOf(key);
    const same = all.filter((address) => familyOf(address) === familyOf(before));
    const wanted = same.length > 0 ? same : all;
    return wanted.every((address) => this.#isServed(key, address) && isTold(key, address, before));
  }

  /** Its node has the address, and the rules of it as they are now, in which the Service has its ports. */
  #isServed(key: ServiceKey, address: Address): boolean {
    const { owners, nodes, rules, refusedPorts } = this.#input.controller;
    const owner = owners.ownerOf(address);
    const changed = rules.changedSeq(address);
    if (owner === undefined || changed === undefined || !owners.isServing(address)) return false;
    const isRefused = refusedPorts.get(address)?.some(({ service }) => service === key) === true;
    return nodes.at(owner.node).hasAcked('rules', changed) && !isRefused;
  }
}
