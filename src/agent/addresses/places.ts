// Where a VIP goes on this node, and which VIPs have no place here for now.

import { addresses } from '../../dialects/addresses/dialect.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import type { Rival } from '../../dialects/addresses/probe.ts';
import type { KernelObjects } from '../../dialects/dialect.ts';
import type { Refusal } from '../../protocol/messages.ts';
import { type Address, hostLength } from '../../state/address.ts';
import type { HeldAddress } from '../../state/desired-state.ts';
import { servicesOf } from '../../state/virtual-ip.ts';
import type { Ledger } from '../ledger.ts';
import type { Network } from './network.ts';
import type { Prober } from './prober.ts';

export interface PlacesParts {
  readonly ledger: Ledger;
  readonly network: Network;
  readonly prober: Prober;
  readonly refuse: (refusal: Refusal) => void;
}

/** Why a VIP has no place: this ends when the interfaces and addresses of the node are others. */
interface Obstacle {
  readonly code: Refusal['code'];
  readonly reason: string;
  /** Who has the address, or is about to. */
  readonly mac?: string;
}

export class Places {
  readonly #parts: PlacesParts;

  constructor(parts: PlacesParts) {
    this.#parts = parts;
  }

  /** Some VIP has no place, or is where it should not be: what changes on the node may change that. */
  get areUnsettled(): boolean {
    const { ledger } = this.#parts;
    if (ledger.hasRefusals('placements')) return true;
    for (const held of ledger.held.values())
      if (this.#judge(held.address) !== held.interfaceIndex) return true;
    return false;
  }

  /** Links where VIPs are and cannot be reached for now; empty without one. */
  get trouble(): string {
    const { ledger, network } = this.#parts;
    const indexes = new Set(ledger.held.values().map(({ interfaceIndex }) => interfaceIndex));
    const mute = [...indexes].filter((index) => {
      const { up = true, carrier = true } = network.link(index) ?? {};
      return !up || !carrier;
    });
    if (mute.length === 0) return '';
    const names = mute.map((index) => network.nameOf(index)).join(', ');
    const remedy = 'see to the link, or give its VIPs to another node by vipward move';
    return `nobody reaches the VIPs on ${names}, which is down or has no carrier; ${remedy}`;
  }

  /** Whether an address is a VIP of somebody, so that it matters whether it is the node's own. */
  isVip(address: Address): boolean {
    const { ledger } = this.#parts;
    return ledger.wanted.has(address) || ledger.barred.has(address);
  }

  /** Some VIP is held on this interface. */
  areOn(interfaceIndex: number): boolean {
    return this.#parts.ledger.held.values().some((held) => held.interfaceIndex === interfaceIndex);
  }

  /** This node should hold or guard some VIP, and cannot. */
  get areLacking(): boolean {
    const { ledger } = this.#parts;
    return ledger.hasRefusals('placements') || ledger.barred.size > 0;
  }

  /**
   * Where a VIP goes; undefined while it is not known whether somebody has the address. Where it cannot be it
   * is refused by name: undefined too. One that is held stays where it is while no interface is the right
   * one.
   */
  placeFor(key: Address): HeldAddress | undefined {
    const place = this.#judge(key);
    if (typeof place !== 'number') {
      this.refuse(key, place);
      return undefined;
    }
    const held = { address: key, interfaceIndex: place };
    const finding = this.#parts.ledger.firstClaims.has(key) ? this.#parts.prober.find(held) : 'free';
    if (typeof finding !== 'string') this.refuse(key, this.#conflict(held, finding));
    return finding === 'free' ? held : undefined;
  }

  /** All that the kernel should carry now. What its link is still asked for is not of it yet. */
  whole(): KernelObjects<AddressObject> {
    const { ledger } = this.#parts;
    const due = [...ledger.placed.keys()].filter(
      (key) => ledger.shouldHold(key) && !ledger.firstClaims.has(key),
    );
    const held = due.flatMap((address) => {
      const place = this.#judge(address);
      return typeof place === 'number' ? [{ address, interfaceIndex: place }] : [];
    });
    return addresses.render({ held });
  }

  readonly describe = ({ address, prefixLength, interfaceIndex }: AddressObject): string => {
    return `address ${address}/${prefixLength} on ${this.#parts.network.nameOf(interfaceIndex)}`;
  };

  /** The VIP is no longer to go anywhere here. */
  forget(key: Address): void {
    this.#parts.prober.forget(key);
  }

  refuse(key: Address, obstacle: Obstacle): void {
    const { ledger, refuse } = this.#parts;
    // While it was asked for it may have gone elsewhere: nobody would take such a refusal back.
    if (!ledger.isPlaced(key)) return;
    const vip = ledger.wanted.get(key);
    refuse({
      ...{ table: 'placements', key, ...obstacle },
      services: vip === undefined ? [] : servicesOf(vip),
    });
  }

  #conflict({ address, interfaceIndex }: HeldAddress, { mac, does }: Rival): Obstacle {
    const name = this.#parts.network.nameOf(interfaceIndex);
    const what = does === 'answer' ? 'answers for' : 'is about to take';
    const remedy = 'take the address from whoever that is, or choose another for the Service';
    return { code: 'AddressConflict', mac, reason: `${mac} ${what} ${address} on ${name}; ${remedy}` };
  }

  /** The index of an interface, or why there is none. */
  #judge(key: Address): number | Obstacle {
    const { network, ledger } = this.#parts;
    const conflict = network.conflict(key);
    if (conflict !== undefined)
      return { code: 'AddressConflict', reason: `${conflict}; choose another address for the Service` };
    const at = ledger.held.get(key)?.interfaceIndex;
    const link = network.interfaceFor(key, at);
    // Where nobody would hear of it it is not taken, for whoever has it now would let it go. Of one that is
    // asked for the answer says so.
    if (at === undefined && link?.carrier === false && !ledger.firstClaims.has(key))
      return { code: 'NoInterface', reason: `${link.name} has no carrier: nobody would find ${key} there` };
    const index = link?.index ?? at;
    if (index !== undefined) return index;
    const reason = `no interface that is up has a connected prefix with ${key}; name one with --interface`;
    return { code: 'NoInterface', reason: network.trouble || reason };
  }
}

/**
 * The kernel's addresses that may count as the held one, best first: ours on the interface we know it on,
 * ours elsewhere, then a stranger's host address on that interface.
 */
export function candidates(
  found: readonly AddressObject[],
  at: HeldAddress | undefined,
): readonly AddressObject[] {
  const isHere = ({ interfaceIndex }: AddressObject): boolean => interfaceIndex === at?.interfaceIndex;
  const ours = found.filter(({ foreign }) => !foreign);
  const theirs = found.filter(
    (object) => object.foreign && isHere(object) && object.prefixLength === hostLength(object.address),
  );
  return [...ours.filter(isHere), ...ours.filter((object) => !isHere(object)), ...theirs];
}
