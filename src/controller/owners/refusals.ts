// What one node refuses. A refusal ends with the connection on which it was said, unless it says that an
// address is the node's own: that stays so while the node is away, and until it has the rules again.

import type { Refusal, TableName } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';

/** What is kept of a refusal. `services` is not: the controller knows them, and a liar sends a megabyte. */
export type KeptRefusal = Pick<Refusal, 'table' | 'key' | 'code' | 'reason'>;

/** For so many seconds a node that refused a VIP is not chosen for it again, once another node has it. */
export const passedTicks = 60;

interface Passed {
  readonly refusal: KeptRefusal;
  ticksLeft: number;
}

const none: readonly Address[] = [];

export class Refusals {
  /** By `TABLE KEY`. */
  readonly #all = new Map<string, KeptRefusal>();
  /** Those of former connections that this one has not repeated. */
  readonly #former = new Set<string>();
  /** VIPs that other nodes have, since this one refused them. */
  readonly #passed = new Map<Address, Passed>();

  get areNone(): boolean {
    return this.#all.size === 0 && this.#passed.size === 0;
  }

  values(): MapIterator<KeptRefusal> {
    return this.#all.values();
  }

  /** This is asked for many nodes and VIPs, and most nodes refuse nothing. */
  of(table: TableName, address: Address): KeptRefusal | undefined {
    return this.#all.size === 0 ? undefined : this.#all.get(nameOf(table, address));
  }

  add(refusal: KeptRefusal): void {
    const name = nameOf(refusal.table, refusal.key);
    this.#all.set(name, refusal);
    this.#former.delete(name);
  }

  delete(table: TableName, address: Address): void {
    const name = nameOf(table, address);
    this.#all.delete(name);
    this.#former.delete(name);
  }

  /** The node takes back its refusal of a placement, since another node has the VIP now. */
  pass(address: Address): void {
    const refusal = this.of('placements', address);
    if (refusal !== undefined) this.#passed.set(address, { refusal, ticksLeft: passedTicks });
    this.delete('placements', address);
  }

  passed(address: Address): KeptRefusal | undefined {
    return this.#passed.get(address)?.refusal;
  }

  /** Counts one second. Returns the VIPs for which the node may be chosen again. */
  tick(): readonly Address[] {
    if (this.#passed.size === 0) return none;
    const over = [...this.#passed].filter(([, passed]) => --passed.ticksLeft <= 0).map(([key]) => key);
    for (const key of over) this.#passed.delete(key);
    return over;
  }

  /** The node has connected: it repeats the refusals that hold before it acknowledges the rules. */
  begin(): void {
    this.#passed.clear();
    for (const [name, refusal] of this.#all) {
      if (isOwn(refusal)) this.#former.add(name);
      else this.#all.delete(name);
    }
  }

  /** The node has acknowledged the rules: what it has not repeated is over. Returns the VIPs of that. */
  confirm(): readonly Address[] {
    if (this.#former.size === 0) return none;
    const over = [...this.#former].flatMap((name) => this.#all.get(name)?.key ?? []);
    for (const name of this.#former) this.#all.delete(name);
    this.#former.clear();
    return over;
  }
}

/** True if the VIP is an address that the node has for itself. */
export function isOwn(refusal: KeptRefusal | undefined): boolean {
  return refusal?.table === 'rules' && refusal.code === 'AddressConflict';
}

function nameOf(table: TableName, address: Address): string {
  return `${table} ${address}`;
}
