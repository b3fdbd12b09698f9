// The node's interfaces and addresses as the kernel tells of them: where a VIP goes, and what must never
// become one.

import { Message } from '../../dialects/addresses/constants.ts';
import { isTentative, readAddress } from '../../dialects/addresses/decode.ts';
import { addresses } from '../../dialects/addresses/dialect.ts';
import type { Link } from '../../dialects/addresses/links.ts';
import { hasRisen, linkDump, macsOf, readLink, readLinks } from '../../dialects/addresses/links.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import { macText } from '../../dialects/addresses/probe.ts';
import type { Kernel } from '../../host/kernel.ts';
import type { Message as NetlinkMessage } from '../../netlink/reader.ts';
import {
  type Address,
  hostLength,
  isLinkLocal,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  prefixLength,
} from '../../state/address.ts';
import { type Carried, ReservedAddresses } from './reserved-addresses.ts';

/** What an event meant for us. */
export type NetworkChange =
  | { readonly kind: 'address gone' | 'address usable'; readonly object: AddressObject }
  /** Who reaches this node over the interface may have to learn the way anew. */
  | { readonly kind: 'carrier'; readonly link: Link }
  /** An address of the node, or an interface, that was not there before; one that went up or down. */
  | { readonly kind: 'new'; readonly address: Address | null }
  | { readonly kind: 'other' };

interface Connected {
  readonly link: Link;
  readonly prefix: Prefix;
}

export class Network implements Carried {
  readonly #kernel: Kernel;
  #wanted: readonly string[];
  #links = new Map<number, Link>();
  #addresses = new Map<string, AddressObject>();
  /** Made of both when they are asked for, since thousands of VIPs ask after one event. */
  #connected: readonly Connected[] | undefined;
  #foreign: ReadonlyMap<Address, readonly AddressObject[]> | undefined;
  /** Events that came while everything was being read, which a dump may be older than. */
  #heard: NetlinkMessage[] | undefined;
  readonly #reserved: ReservedAddresses;

  /** `wanted` are the interfaces of `--interface`, in order of preference; `auto` means every one. */
  constructor(kernel: Kernel, wanted: readonly string[]) {
    this.#kernel = kernel;
    this.#wanted = wanted;
    this.#reserved = new ReservedAddresses(kernel);
  }

  /** Why no VIP can come here, whatever its address; empty where one could. */
  get trouble(): string {
    if (this.#wanted.includes('auto') || this.#named().some(({ up }) => up)) return '';
    const names = this.#wanted.join(',') || 'without a name';
    return `none of --interface ${names} is here and up: set it up, or name another`;
  }

  /** Other interfaces, from the next pass on. */
  set wanted(names: readonly string[]) {
    this.#wanted = names;
    this.#connected = undefined;
  }

  /**
   * Reads everything anew. What was known holds until all of it is read. Resolves to the interfaces that were
   * known and have risen since. Throws SystemCallError.
   */
  async refresh(nameservers: readonly Address[]): Promise<Link[]> {
    const heard: NetlinkMessage[] = [];
    this.#heard = heard;
    try {
      const replies = await this.#kernel.dump([linkDump(), ...addresses.dumps]);
      const [links = new Uint8Array(), ...rest] = replies;
      await this.readGateways();
      const before = this.#links;
      this.#links = new Map(readLinks(links).map((link) => [link.index, link]));
      this.#addresses = new Map(addresses.decode(rest).elements.map((object) => [object.id, object]));
      this.#forget();
      for (const message of heard) this.#take(message);
      this.#reserved.nameservers = nameservers;
      return [...this.#links.values()].filter((link) => {
        const known = before.get(link.index);
        return known !== undefined && hasRisen(link, known);
      });
    } finally {
      this.#heard = undefined;
    }
  }

  /** Asks for the gateways anew, of whose changes there is no event. Throws SystemCallError. */
  readGateways(): Promise<void> {
    return this.#reserved.read();
  }

  /** Takes an event in, and says what it meant. */
  onMessage(message: NetlinkMessage): NetworkChange {
    this.#heard?.push(message);
    return this.#take(message);
  }

  #take(message: NetlinkMessage): NetworkChange {
    const link = readLink(message);
    if (link !== undefined) return this.#takeLink(link, message.type === Message.DELLINK);
    const object = readAddress(message);
    if (object === undefined) return { kind: 'other' };
    if (object.foreign) this.#forget();
    if (message.type === Message.DELADDR) {
      this.#addresses.delete(object.id);
      return { kind: 'address gone', object };
    }
    const isNew = !this.#addresses.has(object.id);
    this.#addresses.set(object.id, object);
    if (object.foreign) return isNew ? { kind: 'new', address: object.address } : { kind: 'other' };
    return isTentative(message) ? { kind: 'other' } : { kind: 'address usable', object };
  }

  #takeLink(link: Link, isGone: boolean): NetworkChange {
    const before = this.#links.get(link.index);
    this.#forget();
    if (isGone) {
      this.#links.delete(link.index);
      return { kind: 'other' };
    }
    this.#links.set(link.index, link);
    if (hasRisen(link, before)) return { kind: 'carrier', link };
    const isKnown = before?.name === link.name && before.up === link.up;
    return isKnown ? { kind: 'other' } : { kind: 'new', address: null };
  }

  #forget(): void {
    this.#connected = undefined;
    this.#foreign = undefined;
  }

  /** Every address there is, ours and others'. */
  get addresses(): Iterable<AddressObject> {
    return this.#addresses.values();
  }

  /** What is known of an address on an interface. */
  find(id: string): AddressObject | undefined {
    return this.#addresses.get(id);
  }

  link(index: number): Link | undefined {
    return this.#links.get(index);
  }

  nameOf(index: number): string {
    return this.#links.get(index)?.name ?? `interface ${index}`;
  }

  /** Whether a hardware address is one of this node's, written as in `02:00:5e:10:00:01`. */
  hasMac(mac: string): boolean {
    return this.#links.values().some((link) => macText(link.mac) === mac);
  }

  /**
   * The interface a VIP goes on: the one whose connected prefix holds it most closely, else the first that
   * was named. Of several that are as good it is the one that has it, by the index `at`. One without carrier
   * comes behind all that have one, unless the VIP is there.
   */
  interfaceFor(address: Address, at?: number): Link | undefined {
    const isHeard = ({ carrier, index }: Link): boolean => carrier || index === at;
    let best: { link: Link; rank: number } | undefined;
    let isDown = false;
    for (const { link, prefix } of this.#onLinks()) {
      if (!prefixContains(prefix, address)) continue;
      isDown ||= !link.up;
      if (!link.up) continue;
      const rank = prefixLength(prefix) + (isHeard(link) ? 1000 : 0);
      const isBetter = best === undefined || rank > best.rank;
      if (isBetter || (rank === best?.rank && link.index === at)) best = { link, rank };
    }
    // On another link than its own nobody would find it.
    const named = isDown ? [] : this.#named().filter(({ up }) => up);
    return best?.link ?? named.find(isHeard) ?? named[0];
  }

  /**
   * Prefixes of the links a VIP could go on that have anything of `allow`; with named interfaces `allow` too,
   * for the user has said where to put it.
   */
  onLink(allow: readonly Prefix[]): Prefix[] {
    const connected = this.#reaching(allow).flatMap(({ link, prefix }) => (link.up ? [prefix] : []));
    return [...new Set(this.#named().some(({ up }) => up) ? [...connected, ...allow] : connected)];
  }

  /** The hardware addresses of those links, by which others on them know this node. */
  macs(): string[] {
    return macsOf([...this.#onLinks().map(({ link }) => link), ...this.#named()]);
  }

  /** What VIPs are placed by and found by: a node where that changes says hello anew. */
  ways(allow: readonly Prefix[]): string[] {
    const links = [...this.#reaching(allow).map(({ link }) => link), ...this.#named()];
    return [...this.onLink(allow), ...macsOf(links)];
  }

  /** In words, where the node has the address for itself; undefined where it has not. */
  ownAddress(address: Address): string | undefined {
    return this.#reserved.ownAddress(address, this);
  }

  /** Why an address must not become a VIP of this node; undefined where nothing speaks against it. */
  conflict(address: Address): string | undefined {
    return this.#reserved.conflict(address, this);
  }

  /** By address, what somebody else has put on this node. */
  strangers(): ReadonlyMap<Address, readonly AddressObject[]> {
    this.#foreign ??= Map.groupBy(
      [...this.#addresses.values()].filter(({ foreign }) => foreign),
      ({ address }) => address,
    );
    return this.#foreign;
  }

  #reaching(allow: readonly Prefix[]): Connected[] {
    return this.#onLinks().filter(({ prefix }) => allow.some((one) => prefixesOverlap(one, prefix)));
  }

  /** Links that are down too: the kernel keeps the addresses that they have, and they come up again. */
  #onLinks(): readonly Connected[] {
    this.#connected ??= [...this.#addresses.values()].flatMap((object) => this.#connectedBy(object));
    return this.#connected;
  }

  #connectedBy({ address, prefixLength: length, interfaceIndex, foreign }: AddressObject): Connected[] {
    const link = this.#links.get(interfaceIndex);
    if (link === undefined || !foreign || length === hostLength(address) || isLinkLocal(address)) return [];
    const isWanted = this.#wanted.includes('auto') ? !link.loopback : this.#wanted.includes(link.name);
    return isWanted ? [{ link, prefix: parsePrefix(`${address}/${length}`) }] : [];
  }

  #named(): Link[] {
    return this.#wanted.flatMap((name) => [...this.#links.values()].filter((link) => link.name === name));
  }
}
