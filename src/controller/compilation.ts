// Compiles and publishes the VIPs of addresses whose Services changed. Large changes take several turns of
// the event loop, which agents and probes need too.

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

/** The parts of a controller, which replaces some of them when it begins to rule. */
export interface Ruled {
  readonly allocator: Allocator;
  readonly owners: Owners;
  readonly rules: Table<'rules'>;
}

export interface CompilationInput {
  readonly controller: Ruled;
  readonly filterByDefault: boolean;
  readonly publish: (vips: readonly VirtualIp[]) => void;
  /** Called when something that the records hold has changed. */
  readonly onChange: () => void;
  /** Called with the addresses whose Services changed, and the refused Services, which have no address. */
  readonly onTouched: (addresses: ReadonlySet<Address>, refused: ReadonlySet<ServiceKey>) => void;
}

/** Addresses compiled in one turn: some ten milliseconds with a thousand nodes. */
export const turnAddresses = 200;

export class Compilation {
  readonly refusedPorts: Map<Address, readonly PortRefusal[]> = new Map();
  readonly #input: CompilationInput;
  /** Addresses that a later turn compiles, from their Services at that time. */
  readonly #later = new Set<Address>();
  /** The changes of users that the records know of. */
  #recorded = 0;
  /** Addresses with ports left out of the rules, since agents take at most stagedLimit items. */
  readonly #short = new Set<Address>();

  constructor(input: CompilationInput) {
    this.#input = input;
  }

  /** Compiles a few addresses at once, and many over several turns: a small change overtakes a large one. */
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
      // Without room for its own item the VIP is published to no agent yet.
      if (room < 1) continue;
      room -= itemsOf(vip);
      if (isKnown && itemsOf(vip) < itemsOf(before)) isFreed = true;
      if (!isKnown || !isSame(before, vip)) set.push(vip);
      if (!isKnown || owners.leaving.has(address)) fresh.push(address);
    }
    // Rules are published before any placement is decided: traffic to a newly opened port waits for them.
    publish(set);
    if (fresh.length > 0) owners.appear(fresh);
    if (gone.length > 0) owners.vanish(gone);
    const { changes } = allocator.users;
    if (fresh.length > 0 || gone.length > 0 || changes !== this.#recorded) onChange();
    this.#recorded = changes;
    onTouched(touched, allocator.takeRefused());
    if (isFreed) this.hasRoom();
  }

  /** Called after rules shrank: some of the VIPs that lack ports are compiled again in a later turn. */
  hasRoom(): void {
    if (this.#short.size === 0) return;
    const isUnderWay = this.#later.size > 0;
    for (const address of this.#short.values().take(turnAddresses)) this.#later.add(address);
    if (!isUnderWay) setImmediate(this.#turn).unref();
  }

  /** Resolves when no address waits for a later turn. */
  async done(): Promise<void> {
    while (this.#later.size > 0) await nextTurn();
  }

  /** In a first publication above stagedLimit the VIPs that declare most come last, old or new. */
  #inOrder(touched: ReadonlySet<Address>): Iterable<Address> {
    const { allocator, rules } = this.#input.controller;
    if (rules.size > 0) return touched;
    let all = 0;
    // A Service has all its ports and ranges on each of its addresses.
    for (const service of allocator.services.values())
      all += itemsDeclared(service) * allocator.addressesOf(service.key).length;
    if (all <= stagedLimit) return touched;
    const sizeOf = (address: Address) =>
      allocator.usersOf(address).reduce((sum, service) => sum + itemsDeclared(service), 0);
    const sized = [...touched].map((address) => ({ address, size: sizeOf(address) }));
    return sized.sort((a, b) => a.size - b.size).map(({ address }) => address);
  }

  /** A VIP without room loses new ports, and keeps ports in the rules. */
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
      // An address that throws has left #later already, so the rest still gets its turn.
      if (this.#later.size > 0) setImmediate(this.#turn).unref();
    }
  };
}
