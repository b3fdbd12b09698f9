// A Service that gets another address keeps the old one until a node serves the new one with the Service's
// ports, and clients that read addresses from the source have had time to switch.

import { type Address, familyOf } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { Controller } from './controller.ts';
import { isServing } from './owners/serving.ts';
import type { Readings } from './readings/readings.ts';

export interface ReplacingInput {
  readonly controller: Controller;
  readonly readings: Pick<Readings, 'isUndisputed' | 'letGo'>;
  /** True if the source names the address for the Service by now, or never named the one before. */
  readonly isTold: (key: ServiceKey, address: Address, before: Address) => boolean;
  /** How long clients may take to follow the address in the source. */
  readonly followMs: number;
}

/** Agents send many messages: all that arrive within this time are handled together. */
const gatherMs = 50;
/** Source updates raise no event here: Services with outgoing addresses are polled. */
const againMs = 500;

export class Replacing {
  readonly #input: ReplacingInput;
  /** Since when nothing is waited for, in ms of the monotonic clock, by `SERVICE ADDRESS`. */
  readonly #made = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(input: ReplacingInput) {
    this.#input = input;
  }

  /** Called after each message of a node: the new address may be served. */
  readonly progressed = (): void => this.#lookIn(gatherMs);

  #lookIn(ms: number): void {
    if (this.#input.controller.allocator.outgoing.size > 0)
      this.#timer ??= setTimeout(() => this.#look(), ms).unref();
  }

  #look(): void {
    this.#timer = undefined;
    const { controller, readings } = this.#input;
    const gone = new Map<ServiceKey, readonly Address[]>();
    const waits = new Set<string>();
    for (const [key, outgoing] of controller.allocator.outgoing) {
      const over = outgoing.filter((address) => this.#isOver(key, address));
      if (over.length > 0) gone.set(key, over);
      for (const address of outgoing) waits.add(`${key} ${address}`);
    }
    for (const name of this.#made.keys()) if (!waits.has(name)) this.#made.delete(name);
    if (gone.size > 0) readings.letGo(gone);
    this.#lookIn(againMs);
  }

  /** True once the new addresses have been served and told for followMs. */
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
    // A change that is queued or not believed yet may ask for something else.
    if (!readings.isUndisputed(key)) return false;
    const all = controller.allocator.addressesOf(key);
    const same = all.filter((address) => familyOf(address) === familyOf(before));
    const wanted = same.length > 0 ? same : all;
    return wanted.every((address) => this.#isServed(key, address) && isTold(key, address, before));
  }

  /** True if the node of the address holds it with its current rules, and the Service lost no port there. */
  #isServed(key: ServiceKey, address: Address): boolean {
    const { owners, rules, refusedPorts } = this.#input.controller;
    const changed = rules.changedSeq(address);
    if (changed === undefined || !isServing(owners, address)) return false;
    const isRefused = refusedPorts.get(address)?.some(({ service }) => service === key) === true;
    return owners.nodeOf(address)?.hasAcked('rules', changed) === true && !isRefused;
  }
}
