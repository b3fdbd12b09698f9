// Addresses that must never become VIPs of this node: its own, its gateways, its name servers, and broadcast
// and anycast addresses of its links.

import type { Link } from '../../dialects/addresses/links.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import { gatewayQuestions, readGateways, readSources } from '../../dialects/addresses/routes.ts';
import type { Kernel } from '../../host/kernel.ts';
import {
  type Address,
  addressBytes,
  familyOf,
  formatAddress,
  hostLength,
  isLinkLocal,
  maskBytes,
} from '../../state/address.ts';

type Strangers = ReadonlyMap<Address, readonly AddressObject[]>;

/** The addresses and links of this node. */
export interface Carried {
  readonly addresses: Iterable<AddressObject>;
  /** Addresses that the agent did not add, by address. A new map whenever they change. */
  strangers(): Strangers;
  link(index: number): Link | undefined;
  nameOf(index: number): string;
}

export class ReservedAddresses {
  nameservers: readonly Address[] = [];
  readonly #kernel: Kernel;
  #gateways: ReadonlySet<Address> = new Set();
  /** Preferred source addresses of default routes. */
  #sources: ReadonlySet<Address> = new Set();
  /** Broadcast and anycast addresses of links, each with a node address there; made from `strangers`. */
  #ofLinks: { readonly strangers: Strangers; readonly all: ReadonlyMap<Address, AddressObject> } | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Reads gateways and sources, for whose changes the agent gets no event. Throws SystemCallError. */
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

  /** Why an address must not become a VIP of this node; undefined if it may. */
  conflict(address: Address, carried: Carried): string | undefined {
    if (this.#gateways.has(address)) return `${address} is the gateway of this node`;
    if (this.nameservers.includes(address)) return `${address} is a name server of this node`;
    return this.ownAddress(address, carried) ?? this.#linkAddress(address, carried);
  }

  /** Where the node has the address for itself, in words; undefined if it has not. */
  ownAddress(address: Address, carried: Carried): string | undefined {
    for (const object of carried.strangers().get(address) ?? []) {
      if (!this.#sources.has(address) && carriesNothing(object, carried)) continue;
      const name = carried.nameOf(object.interfaceIndex);
      return `${address}/${object.prefixLength} is an address of this node (on ${name})`;
    }
    return undefined;
  }

  /** Names the link whose broadcast or anycast address this is; undefined if it is none. */
  #linkAddress(address: Address, carried: Carried): string | undefined {
    const strangers = carried.strangers();
    if (this.#ofLinks?.strangers !== strangers) {
      const all = [...strangers.values()].flat().flatMap((object) => {
        const known = linkAddressOf(object);
        return known === undefined ? [] : [[known, object] as const];
      });
      this.#ofLinks = { strangers, all: new Map(all) };
    }
    const object = this.#ofLinks.all.get(address);
    if (object === undefined) return undefined;
    const what = familyOf(address) === 4 ? 'broadcast' : 'subnet-router anycast';
    const where = `${object.address}/${object.prefixLength} on ${carried.nameOf(object.interfaceIndex)}`;
    return `${address} is the ${what} address of ${where}`;
  }
}

/**
 * The broadcast address of an IPv4 link, for which no node answers, or the subnet-router anycast address of
 * an IPv6 link (RFC 4291 2.6.1). Undefined for a prefix of one or two addresses, which has neither.
 */
function linkAddressOf({ address, prefixLength }: AddressObject): Address | undefined {
  if (hostLength(address) - prefixLength < 2) return undefined;
  const bytes = maskBytes(addressBytes(address), prefixLength);
  if (familyOf(address) === 6) return formatAddress(bytes);
  const mask = maskBytes(new Uint8Array(4).fill(0xff), prefixLength);
  return formatAddress(bytes.map((byte, index) => byte | (0xff ^ (mask[index] ?? 0))));
}

/**
 * Whether the node can do without the address: it is on loopback or a dummy device, or is a host address that
 * another announcer has added.
 */
function carriesNothing(object: AddressObject, carried: Carried): boolean {
  const { interfaceIndex, address, prefixLength, id } = object;
  const at = carried.link(interfaceIndex);
  if (at?.loopback === true || at?.kind === 'dummy') return true;
  if (prefixLength !== hostLength(address)) return false;
  // A node may have only a host address on an interface; that address is the node's own.
  for (const other of carried.addresses) {
    if (other.interfaceIndex !== interfaceIndex || other.id === id || !other.foreign) continue;
    if (familyOf(other.address) === familyOf(address) && !isLinkLocal(other.address)) return true;
  }
  return false;
}
