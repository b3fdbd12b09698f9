// Decides which interface a VIP goes on, and refuses VIPs that have no place on this node for now.

import { addresses } from '../../dialects/addresses/dialect.ts';
import { isDown } from '../../dialects/addresses/links.ts';
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

/** Why a VIP has no place; this can change with the interfaces and addresses of the node. */
interface Obstacle {
  readonly code: Refusal['code'];
  readonly reason: string;
  /** The MAC of the host that has the address, or is about to take it. */
  readonly mac?: string;
}

export class Places {
  readonly #parts: PlacesParts;

  constructor(parts: PlacesParts) {
    this.#parts = parts;
  }

  /** Some VIP has no place or is on the wrong interface: a change on the node may change that. */
  get areUnsettled(): boolean {
    const { ledger } = this.#parts;
    if (ledger.hasRefusals('placements')) return true;
    for (const held of ledger.held.values())
      if (this.#judge(held.address) !== held.interfaceIndex) return true;
    return false;
  }

  /** Names the links with VIPs that are down or have no carrier; empty if there are none. */
  get trouble(): string {
    const { ledger, network } = this.#parts;
    const indexes = new Set(ledger.held.values().map(({ interfaceIndex }) => interfaceIndex));
    const down = [...indexes].filter((index) => this.#isDown(index));
    if (down.length === 0) return '';
    const names = down.map((index) => network.nameOf(index)).join(', ');
    const remedy = 'repair the link, or move its VIPs to another node by vipward move';
    return `no client reaches the VIPs on ${names}, which is down or has no carrier; ${remedy}`;
  }

  /** Whether a VIP is held on a link that is down or has no carrier. */
  isDown(address: Address): boolean {
    const held = this.#parts.ledger.held.get(address);
    return held !== undefined && this.#isDown(held.interfaceIndex);
  }

  /** Whether an address is a wanted VIP, so that it matters whether the node has it for itself. */
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
   * Where a VIP goes. Undefined while its address is being probed. Undefined too if it has no place: then it
   * is refused. A held VIP stays on its interface while no interface is the right one.
   */
  placeFor(key: Address): HeldAddress | undefined {
    const { ledger, prober } = this.#parts;
    const isFirst = ledger.firstClaims.has(key);
    // The VIP may become a first claim again, when what was found before is out of date.
    if (!isFirst) prober.forget(key);
    const place = this.#judge(key);
    if (typeof place !== 'number') {
      this.refuse(key, place);
      return undefined;
    }
    const held = { address: key, interfaceIndex: place };
    const finding = isFirst ? prober.find(held) : 'free';
    if (typeof finding !== 'string') this.refuse(key, this.#conflict(held, finding));
    return finding === 'free' ? held : undefined;
  }

  /** All addresses that the kernel should carry now, without first claims that are not decided yet. */
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

  /** The VIP is no longer placed on this node. */
  forget(key: Address): void {
    this.#parts.prober.forget(key);
  }

  refuse(key: Address, obstacle: Obstacle): void {
    const { ledger, refuse } = this.#parts;
    // During a probe the VIP may have been placed elsewhere. Such a refusal would never be taken back.
    if (!ledger.isPlaced(key)) return;
    const vip = ledger.wanted.get(key);
    refuse({
      table: 'placements',
      key,
      ...obstacle,
      services: vip === undefined ? [] : servicesOf(vip),
    });
  }

  #isDown(index: number): boolean {
    const link = this.#parts.network.link(index);
    return link !== undefined && isDown(link);
  }

  #conflict({ address, interfaceIndex }: HeldAddress, { mac, does }: Rival): Obstacle {
    const name = this.#parts.network.nameOf(interfaceIndex);
    const what = does === 'answer' ? 'answers for' : 'is about to take';
    const remedy = 'remove the address from that host, or choose another for the Service';
    return { code: 'AddressConflict', mac, reason: `${mac} ${what} ${address} on ${name}; ${remedy}` };
  }

  /** The obstacle of an address that another program added and the kernel does not use there. */
  #duplicate(key: Address, index: number): Obstacle | undefined {
    const { network } = this.#parts;
    const objects = network.strangers().get(key) ?? [];
    if (!objects.some((object) => object.isDuplicate && object.interfaceIndex === index)) return undefined;
    const name = network.nameOf(index);
    const what = `the kernel found another host with ${key} on ${name} (dadfailed)`;
    const remedy = `take the address from that host and from ${name}, or choose another for the Service`;
    return { code: 'AddressConflict', reason: `${what}; ${remedy}` };
  }

  /** The index of an interface, or why there is none. */
  #judge(key: Address): number | Obstacle {
    const { network, ledger } = this.#parts;
    const conflict = network.conflict(key);
    if (conflict !== undefined)
      return { code: 'AddressConflict', reason: `${conflict}; choose another address for the Service` };
    const at = ledger.held.get(key)?.interfaceIndex;
    const link = network.interfaceFor(key, at);
    // Without carrier no neighbour would hear of the VIP, and the node that holds it now would let it go. For
    // a first claim the prober reports the missing carrier.
    if (at === undefined && link?.carrier === false && !ledger.firstClaims.has(key))
      return {
        code: 'NoInterface',
        reason: `${link.name} has no carrier: no client would reach ${key} there`,
      };
    const index = link?.index ?? at;
    if (index !== undefined) return this.#duplicate(key, index) ?? index;
    const reason = `no interface that is up has a connected prefix with ${key}; name one with --interface`;
    return { code: 'NoInterface', reason: network.trouble || reason };
  }
}

/**
 * The kernel's objects that may count as the held VIP, best first: ours on the known interface, ours on other
 * interfaces, then a foreign host address on the known interface.
 */
export function candidates(
  found: readonly AddressObject[],
  at: HeldAddress | undefined,
): readonly AddressObject[] {
  if (found.length === 0) return found;
  const isHere = ({ interfaceIndex }: AddressObject): boolean => interfaceIndex === at?.interfaceIndex;
  const ours = found.filter(({ foreign }) => !foreign);
  const theirs = found.filter(
    (object) => object.foreign && isHere(object) && object.prefixLength === hostLength(object.address),
  );
  return [...ours.filter(isHere), ...ours.filter((object) => !isHere(object)), ...theirs];
}
