// From the allocation to the rules: the VIPs of addresses whose Services are others now are compiled and
// published. Many of them take several turns of the loop, for agents and probes wait for it too.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { itemsOf } from '../protocol/items.ts';
import { stagedLimit } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { VirtualIp } from '../state/virtual-ip.ts';
import type { Allocator } from './allocate.ts';
import { type CompiledVip, compileVip, fitted, isSame, itemsDeclared, type PortRefusal } from './compile.ts';
import type { Owners } from './owners/owners.ts';
import type { ServiceManifest } from './service.ts';
import type { Table } from './stream/table.ts';

/** What a controller has: others of them from the moment that it rules. */
export interface Ruled {
  readonly allocator: Allocator;
  readonly owners: Owners;
  readonly rules: Table<'rules'>;
}

export interface CompilationInput {
  readonly controller: Ruled;
  readonly filterByDefault: boolean;
  readonly publish: (vips: readonly VirtualIp[]) => void;
  /** Something that belongs in the records has changed. */
  readonly onChange: () => void;
  /** The Services on these addresses are others now, or none; and those that were refused are on none. */
  readonly onTouched: (addresses: ReadonlySet<Address>, refused: ReadonlySet<ServiceKey>) => void;
}

/** Addresses that are followed in one turn: with a thousand nodes some ten milliseconds. */
export const turnAddresses = 200;

export class Compilation {
  readonly refusedPorts: Map<Address, readonly PortRefusal[]> = new Map();
  readonly #input: CompilationInput;
  /** Addresses that have their turn later. What they are by then counts. */
  readonly #later = new Set<Address>();
  /** Addresses of which not all ports are in the rules, since no agent would take so many. */
  readonly #short = new Set<Address>();

  constructor(input: CompilationInput) {
    this.#input = input;
  }

  /** Follows few addresses at once, and many a turn after the other: a small change overtakes a large one. */
  follow(touched: ReadonlySet<Address>): void {
    if (touched.size <= turnAddresses) {
      this.followAtOnce(touched);
      return;
    }
    const isUnderWay = this.#later.size > 0;
    for (const address of this.#inOrder(touched)) this.#later.add(address);
    if (!isUnderWay) this.#turn();
  }

  followAtOnce(touched: ReadonlySet<Address>): void {
    const { controller, publish, onChange, onTouched } = this.#input;
    const { allocator, owners, rules } = controller;
    let room = stagedLimit - rules.items;
    let isFreed = false;
    const set: VirtualIp[] = [];
    const fresh: Address[] = [];
    const gone: Address[] = [];
    for (const address of this.#inOrder(touched)) {
      this.#later.delete(address);
      const users = allocator.usersOf(address);
      const before = rules.get(address);
      const isKnown = before !== undefined;
      this.#short.delete(address);
      if (users.length === 0) {
        this.refusedPorts.delete(address);
        if (isKnown && !owners.leaving.has(address)) gone.push(address);
        continue;
      }
      if (isKnown) room += itemsOf(before);
      const { vip, refusedPorts } = this.#compile(address, users, room);
      if (refusedPorts.length > 0) this.refusedPorts.set(address, refusedPorts);
      else this.refusedPorts.delete(address);
      // With no room for itself it is no VIP yet, and nobody is told of it.
      if (room < 1) continue;
      room -= itemsOf(vip);
      if (isKnown && itemsOf(vip) < itemsOf(before)) isFreed = true;
      if (!isKnown || !isSame(before, vip)) set.push(vip);
      if (!isKnown || owners.leaving.has(address)) fresh.push(address);
    }
    // Rules go out before anything is decided about placement: they are what an open port waits for.
    publish(set);
    if (fresh.length > 0) owners.appear(fresh);
    if (gone.length > 0) owners.vanish(gone);
    if (fresh.length > 0 || gone.length > 0) onChange();
    onTouched(touched, allocator.takeRefused());
    if (isFreed) this.hasRoom();
  }

  /** Some of the rules are less than before: some of those who found no room have another look, in turn. */
  hasRoom(): void {
    if (this.#short.size === 0) return;
    const isUnderWay = this.#later.size > 0;
    for (const address of this.#short.values().take(turnAddresses)) this.#later.add(address);
    if (!isUnderWay) setImmediate(this.#turn).unref();
  }

  /** Resolves when no address waits for its turn. */
  async done(): Promise<void> {
    while (this.#later.size > 0) await nextTurn();
  }

  /** Where all begin and not all have room, those who declare most have none, whoever had it before. */
  #inOrder(touched: ReadonlySet<Address>): Iterable<Address> {
    const { allocator, rules } = this.#input.controller;
    if (rules.size > 0) return touched;
    let all = 0;
    // Each of its addresses has all that a Service declares.
    for (const service of allocator.services.values())
      all += itemsDeclared(service) * allocator.addressesOf(service.key).length;
    if (all <= stagedLimit) return touched;
    const sizeOf = (address: Address) =>
      allocator.usersOf(address).reduce((sum, service) => sum + itemsDeclared(service), 0);
    const sized = [...touched].map((address) => ({ address, size: sizeOf(address) }));
    return sized.sort((a, b) => a.size - b.size).map(({ address }) => address);
  }

  /** Newcomers find no room, and nobody who is served. */
  #compile(address: Address, users: readonly ServiceManifest[], room: number): CompiledVip {
    const { controller, filterByDefault } = this.#input;
    const compiled = compileVip(address, users, filterByDefault);
    if (itemsOf(compiled.vip) <= room) return compiled;
    this.#short.add(address);
    return fitted(compiled, controller.rules.get(address), room);
  }

  readonly #turn = (): void => {
    try {
      this.followAtOnce(new Set(this.#later.values().take(turnAddresses)));
    } finally {
      // One that cannot be followed waits no more by now, and keeps no other from its turn.
      if (this.#later.size > 0) setImmediate(this.#turn).unref();
    }
  };
}
