// The node's interfaces and addresses, from dumps and events of the kernel. They decide which interface a VIP
// goes on and which addresses must never become VIPs.

import { Message } from '../../dialects/addresses/constants.ts';
import { isTentative, readAddress } from '../../dialects/addresses/decode.ts';
import { addresses } from '../../dialects/addresses/dialect.ts';
import type { Link } from '../../dialects/addresses/links.ts';
import { hasRisen, isDown, linkDump, macsOf, readLink, readLinks } from '../../dialects/addresses/links.ts';
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

/** What a netlink event means for the agent. */
export type NetworkChange =
  | { readonly kind: 'address gone' | 'address preferred' | 'address usable'; readonly object: AddressObject }
  /** The interface now has carrier, or another MAC: its neighbours may have to learn VIPs again. */
  | { readonly kind: 'carrier'; readonly link: Link }
  /** The interface went down or lost its carrier. */
  | { readonly kind: 'down'; readonly link: Link }
  /** A foreign address that is new or now a duplicate, or an interface that is new, renamed, up or down. */
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
  /** Both caches are made from links and addresses on demand: after one event thousands of VIPs use them. */
  #connected: readonly Connected[] | undefined;
  #foreign: ReadonlyMap<Address, readonly AddressObject[]> | undefined;
  /** Events received during a dump, since the dump may be older than they are. */
  #heard: NetlinkMessage[] | undefined;
  readonly #reserved: ReservedAddresses;

  /** `wanted` are the interfaces of `--interface` in order of preference; `auto` means all. */
  constructor(kernel: Kernel, wanted: readonly string[]) {
    this.#kernel = kernel;
    this.#wanted = wanted;
    this.#reserved = new ReservedAddresses(kernel);
  }

  /** Why no VIP at all can be held here; empty if some could. */
  get trouble(): string {
    if (this.#wanted.includes('auto') || this.#named().some(({ up }) => up)) return '';
    const names = this.#wanted.join(',');
    return `no interface of --interface ${names} exists and is up: set it up, or name another`;
  }

  /** Takes effect with the next pass. */
  set wanted(names: readonly string[]) {
    this.#wanted = names;
    this.#connected = undefined;
  }

  /**
   * Reads links, addresses and gateways. The old state holds until all of it is read. Resolves to the known
   * interfaces that have gained carrier or another MAC since. Throws SystemCallError.
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

  /** Reads the gateways, for whose changes the agent gets no event. Throws SystemCallError. */
  readGateways(): Promise<void> {
    return this.#reserved.read();
  }

  /** Applies an event and returns what it means. */
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
    const isNews = this.#addresses.get(object.id)?.isDuplicate !== object.isDuplicate;
    this.#addresses.set(object.id, object);
    if (object.foreign) return isNews ? { kind: 'new', address: object.address } : { kind: 'other' };
    if (object.isPreferred) return { kind: 'address preferred', object };
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
    if (before !== undefined && !isDown(before) && isDown(link)) return { kind: 'down', link };
    const isKnown = before?.name === link.name && before.up === link.up;
    return isKnown ? { kind: 'other' } : { kind: 'new', address: null };
  }

  #forget(): void {
    this.#connected = undefined;
    this.#foreign = undefined;
  }

  /** Every address on this node, ours and foreign ones. */
  get addresses(): Iterable<AddressObject> {
    return this.#addresses.values();
  }

  /** The address object with this id, if the node has it. */
  find(id: string): AddressObject | undefined {
    return this.#addresses.get(id);
  }

  link(index: number): Link | undefined {
    return this.#links.get(index);
  }

  nameOf(index: number): string {
    return this.#links.get(index)?.name ?? `interface ${index}`;
  }

  /** Whether an interface of this node has the MAC, written as in `02:00:5e:10:00:01`. */
  hasMac(mac: string): boolean {
    return this.#links.values().some((link) => macText(link.mac) === mac);
  }

  /**
   * The interface that a VIP goes on: the one with the longest connected prefix that contains it, else the
   * first one named by `--interface`. Among equals the interface with index `at` wins, which has the VIP.
   * Interfaces without carrier come last, unless the VIP is there.
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
    // If the VIP's own link is down, no host would find the VIP on another link.
    const named = isDown ? [] : this.#named().filter(({ up }) => up);
    return best?.link ?? named.find(isHeard) ?? named[0];
  }

  /**
   * Connected prefixes of usable links that overlap with `allow`. With named interfaces also `allow` itself,
   * since the user has chosen where VIPs go.
   */
  onLink(allow: readonly Prefix[]): Prefix[] {
    const connected = this.#reaching(allow).flatMap(({ link, prefix }) => (link.up ? [prefix] : []));
    return [...new Set(this.#named().some(({ up }) => up) ? [...connected, ...allow] : connected)];
  }

  /** The MACs of the links that VIPs can go on, by which other nodes there know this node. */
  macs(): string[] {
    return macsOf([...this.#onLinks().map(({ link }) => link), ...this.#named()]);
  }

  /** The prefixes and MACs that matter for VIPs in `allow`: the agent says hello again when it gains one. */
  ways(allow: readonly Prefix[]): string[] {
    const links = [...this.#reaching(allow).map(({ link }) => link), ...this.#named()];
    return [...this.onLink(allow), ...macsOf(links)];
  }

  /** Where the node has the address for itself, in words; undefined if it has not. */
  ownAddress(address: Address): string | undefined {
    return this.#reserved.ownAddress(address, this);
  }

  /** Why an address must not become a VIP of this node; undefined if it may. */
  conflict(address: Address): string | undefined {
    return this.#reserved.conflict(address, this);
  }

  /** Addresses of this node that the agent did not add, by address. */
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

  /** Includes links that are down: they keep their addresses and may come up again. */
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
