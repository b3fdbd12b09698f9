// What one node refuses. A refusal ends with the connection on which it was said, unless it says that an
// address is the node's own: that stays so while the node is away, and until it has the rules again.

import type { Refusal, TableName } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';

/** What is kept of a refusal. `services` is not: the controller knows them, and a liar sends a megabyte. */
export type KeptRefusal = Pick<Refusal, 'table' | 'key' | 'code' | 'reason'>;

const none: readonly Address[] = [];

export class Refusals {
  /** By `TABLE KEY`. */
  readonly #all = new Map<string, KeptRefusal>();
  /** Those of former connections that this one has not repeated. */
  readonly #former = new Set<string>();

  get size(): number {
    return this.#all.size;
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

  /** The node has connected: it repeats the refusals that hold before it acknowledges the rules. */
  begin(): void {
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
