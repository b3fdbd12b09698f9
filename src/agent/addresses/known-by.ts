// What a node is known by, and what it knows others by: addresses that must never become VIPs of it.

import type { Link } from '../../dialects/addresses/links.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import { gatewayQuestions, readGateways, readSources } from '../../dialects/addresses/routes.ts';
import type { Kernel } from '../../host/kernel.ts';
import { type Address, familyOf, hostLength, isLinkLocal } from '../../state/address.ts';

/** All that a node has, whoever put it there. */
export interface Carried {
  readonly addresses: Iterable<AddressObject>;
  /** Those of others, by their address. */
  strangers(): ReadonlyMap<Address, readonly AddressObject[]>;
  link(index: number): Link | undefined;
  nameOf(index: number): string;
}

export class KnownBy {
  nameservers: readonly Address[] = [];
  readonly #kernel: Kernel;
  #gateways: ReadonlySet<Address> = new Set();
  /** What routes to everywhere name as the address to speak from. */
  #sources: ReadonlySet<Address> = new Set();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Asks for gateways and sources anew, of whose changes there is no event. Throws SystemCallError. */
  async read(): Promise<void> {
    const [gateways, sources] = [new Set<Address>(), new Set<Address>()];
    for (const { isForRoute, ...question } of gatewayQuestions()) {
      const reply = await this.#kernel.ask(question);
      for (const gateway of readGateways(reply)) gateways.add(gateway);
      if (isForRoute) for (const source of readSources(reply)) sources.add(source);
    }
    this.#gateways = gateways;
    this.#sources = sources;
  }

  /** Why an address must not become a VIP of this node; undefined where nothing speaks against it. */
  conflict(address: Address, carried: Carried): string | undefined {
    if (this.#gateways.has(address)) return `${address} is the gateway of this node`;
    if (this.nameservers.includes(address)) return `${address} is a name server of this node`;
    return this.ownAddress(address, carried);
  }

  /** In words, where the node has the address for itself; undefined where it has not. */
  ownAddress(address: Address, carried: Carried): string | undefined {
    for (const object of carried.strangers().get(address) ?? []) {
      if (!this.#sources.has(address) && carriesNothing(object, carried)) continue;
      const name = carried.nameOf(object.interfaceIndex);
      return `${address}/${object.prefixLength} is an address of this node (on ${name})`;
    }
    return undefined;
  }
}

/**
 * An address on loopback or a dummy device, or a host address put there by another announcer, names no node.
 */
function carriesNothing(object: AddressObject, carried: Carried): boolean {
  const { interfaceIndex, address, prefixLength, id } = object;
  const at = carried.link(interfaceIndex);
  if (at?.loopback === true || at?.kind === 'dummy') return true;
  if (prefixLength !== hostLength(address)) return false;
  // A node may have nothing but a host address, and is then known by it.
  for (const other of carried.addresses) {
    if (other.interfaceIndex !== interfaceIndex || other.id === id || !other.foreign) continue;
    if (familyOf(other.address) === familyOf(address) && !isLinkLocal(other.address)) return true;
  }
  return false;
}
