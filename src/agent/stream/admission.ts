// Admits what the controller sends: enters it in the ledger, or refuses it if it lies outside --allow or is
// an address of this node.

import type { Refusal, TableName } from '../../protocol/messages.ts';
import type { Address } from '../../state/address.ts';
import { type Placement, servicesOf, type VirtualIp } from '../../state/virtual-ip.ts';
import type { Allowed } from '../addresses/allowed.ts';
import type { Network } from '../addresses/network.ts';
import type { Ledger } from '../ledger.ts';
import type { Change } from './received-table.ts';

/** A change of a table, from the stream or from the disk. */
export type Entry = Pick<Change, 'table' | 'set' | 'remove' | 'first' | 'isWhole'>;

export interface AdmissionParts {
  readonly ledger: Ledger;
  /** The agent guards and holds only addresses in these prefixes. */
  readonly allow: Allowed;
  /** The node's own addresses. */
  readonly network: Pick<Network, 'ownAddress' | 'strangers'>;
  readonly onRefused: (refusal: Refusal) => void;
  /** Takes back a refusal, if there is one: the entry is in force or no longer wanted. */
  readonly accept: (table: TableName, key: Address) => void;
  /** The VIP is no longer placed on this node. */
  readonly onUnplaced: (key: Address) => void;
}

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** Returns further VIPs to revisit, besides those that the change sets or removes. */
  enter(change: Entry): Address[] {
    const { ledger, accept } = this.#parts;
    if (change.table === 'rules') {
      for (const vip of change.set as readonly VirtualIp[]) this.#want(vip);
      for (const key of change.remove) {
        ledger.wanted.delete(key);
        ledger.barred.delete(key);
      }
    } else {
      const first = new Set(change.first);
      for (const placement of change.set as readonly Placement[])
        this.#place(placement, first.has(placement.address));
      for (const key of change.remove) this.#unplace(key);
    }
    for (const key of change.remove) accept(change.table, key);
    if (change.table === 'rules' || !change.isWhole) return [];
    const former = ledger.claimFirst(new Set(change.first));
    for (const key of former) this.#forgive(key);
    return former;
  }

  /**
   * Bars VIPs that have become addresses of the node, and admits those that no longer are. A filter for an
   * own address would cut the node off, also from the controller. Returns the VIPs that changed.
   */
  review(): Address[] {
    const { ledger, network } = this.#parts;
    const free = [...ledger.barred.values()].filter(({ address }) => !network.ownAddress(address));
    const taken = [...network.strangers().keys()].flatMap((key) => ledger.wanted.get(key) ?? []);
    const changed = [...free, ...taken.filter(({ address }) => network.ownAddress(address))];
    for (const vip of changed) this.#want(vip);
    return changed.map(({ address }) => address);
  }

  /** Retries rules that the kernel refused: they may fit after unwanted elements are gone. */
  retry(): void {
    const { ledger } = this.#parts;
    for (const { table, key, code } of ledger.refusals)
      if (table === 'rules' && code === 'KernelRefused') ledger.retry(table, key);
  }

  #unplace(key: Address): void {
    this.#parts.ledger.unplace(key);
    this.#parts.onUnplaced(key);
  }

  /** Retries a placement that was refused because a MAC answered: a node of ours has had the address. */
  #forgive(key: Address): void {
    const { ledger } = this.#parts;
    if (ledger.refusal('placements', key)?.mac !== undefined) ledger.retry('placements', key);
  }

  #want(vip: VirtualIp): void {
    const { ledger, allow, network } = this.#parts;
    const key = vip.address;
    ledger.retry('rules', key);
    ledger.barred.delete(key);
    const own = network.ownAddress(key);
    if (!allow.contains(key)) {
      const reason = `${key} is outside --allow ${allow.words}; add its prefix there`;
      this.#refuse(vip, { code: 'Forbidden', reason });
    } else if (own !== undefined) {
      ledger.barred.set(key, vip);
      const reason = `${own}; choose another address for the Service`;
      this.#refuse(vip, { code: 'AddressConflict', reason });
    } else ledger.wanted.set(key, vip);
  }

  #refuse(vip: VirtualIp, why: Pick<Refusal, 'code' | 'reason'>): void {
    const { ledger, onRefused } = this.#parts;
    ledger.wanted.delete(vip.address);
    onRefused({ table: 'rules', key: vip.address, services: servicesOf(vip), ...why });
  }

  #place(placement: Placement, isFirst: boolean): void {
    const { ledger } = this.#parts;
    ledger.place(placement, isFirst);
    ledger.retry('placements', placement.address);
  }
}
