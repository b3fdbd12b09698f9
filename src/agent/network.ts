// The node's interfaces and addresses as the kernel tells of them: where a VIP goes, and what must never
// become one.

import { Message } from '../dialects/addresses/constants.ts';
import { isTentative, readAddress } from '../dialects/addresses/decode.ts';
import { addresses } from '../dialects/addresses/dialect.ts';
import { type Link, linkDump, readLink, readLinks } from '../dialects/addresses/links.ts';
import type { AddressObject } from '../dialects/addresses/objects.ts';
import { macText } from '../dialects/addresses/probe.ts';
import { gatewayQuestions, readGateways } from '../dialects/addresses/routes.ts';
import type { Kernel } from '../host/kernel.ts';
import type { Message as NetlinkMessage } from '../netlink/reader.ts';
import {
  type Address,
  familyOf,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixLength,
} from '../state/address.ts';

/** What an event meant for us. */
export type NetworkChange =
  | { readonly kind: 'address gone' | 'address usable'; readonly object: AddressObject }
  | { readonly kind: 'carrier'; readonly link: Link }
  /** An address of the node, or an interface, that was not there before; one that went up or down. */
  | { readonly kind: 'new' }
  | { readonly kind: 'other' };

interface Connected {
  readonly link: Link;
  readonly prefix: Prefix;
}

export class Network {
  readonly #kernel: Kernel;
  #wanted: readonly string[];
  #links = new Map<number, Link>();
  #addresses = new Map<string, AddressObject>();
  /** Made of both when they are asked for, since thousands of VIPs ask after one event. */
  #connected: readonly Connected[] | undefined;
  #foreign: ReadonlyMap<Address, readonly AddressObject[]> | undefined;
  /** Events that came while everything was being read, which a dump may be older than. */
  #heard: NetlinkMessage[] | undefined;
  #gateways: ReadonlySet<Address> = new Set();
  #nameservers: readonly Address[] = [];

  /** `wanted` are the interfaces of `--interface`, in order of preference; `auto` means every one. */
  constructor(kernel: Kernel, wanted: readonly string[]) {
    this.#kernel = kernel;
    this.#wanted = wanted;
  }

  /** Other interfaces, from the next pass on. */
  set wanted(names: readonly string[]) {
    this.#wanted = names;
    this.#connected = undefined;
  }

  /** Reads everything anew. What was known holds until all of it is read. Throws SystemCallError. */
  async refresh(nameservers: readonly Address[]): Promise<void> {
    const heard: NetlinkMessage[] = [];
    this.#heard = heard;
    try {
      const replies = await this.#kernel.dump([linkDump(), ...addresses.dumps]);
      const [links = new Uint8Array(), ...rest] = replies;
      await this.readGateways();
      this.#links = new Map(readLinks(links).map((link) => [link.index, link]));
      this.#addresses = new Map(addresses.decode(rest).elements.map((object) => [object.id, object]));
      this.#forget();
      for (const message of heard) this.#take(message);
      this.#nameservers = nameservers;
    } finally {
      this.#heard = undefined;
    }
  }

  /** Asks for the gateways anew, of whose changes there is no event. Throws SystemCallError. */
  async readGateways(): Promise<void> {
    const gateways = new Set<Address>();
    for (const question of gatewayQuestions())
      for (const gateway of readGateways(await this.#kernel.ask(question))) gateways.add(gateway);
    this.#gateways = gateways;
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
    if (object.foreign) return { kind: isNew ? 'new' : 'other' };
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
    const risen = link.carrier && link.up && !(before?.carrier === true && before.up);
    if (risen) return { kind: 'carrier', link };
    return { kind: before?.name === link.name && before.up === link.up ? 'other' : 'new' };
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
   * was named. Of several that are as good it is the one that has it, by the index `at`.
   */
  interfaceFor(address: Address, at?: number): Link | undefined {
    let best: { link: Link; length: number } | undefined;
    let isDown = false;
    for (const { link, prefix } of this.#onLinks()) {
      if (!prefixContains(prefix, address)) continue;
      isDown ||= !link.up;
      if (!link.up) continue;
      const length = prefixLength(prefix);
      const isBetter = best === undefined || length > best.length;
      if (isBetter || (length === best?.length && link.index === at)) best = { link, length };
    }
    // On another link than its own nobody would find it.
    return best?.link ?? (isDown ? undefined : this.#named()[0]);
  }

  /**
   * Prefixes of the links a VIP could go on; with named interfaces `allow` too, for the user has said where
   * to put it.
   */
  onLink(allow: readonly Prefix[]): Prefix[] {
    const connected = this.#onLinks().flatMap(({ link, prefix }) => (link.up ? [prefix] : []));
    return [...new Set(this.#named().length > 0 ? [...connected, ...allow] : connected)];
  }

  /** The hardware addresses of those links, by which others on them know this node. */
  macs(): string[] {
    const links = [...this.#onLinks().map(({ link }) => link), ...this.#named()];
    return [...new Set(links.map(({ mac }) => macText(mac)))].filter((mac) => mac.length === 17);
  }

  /** Why an address must not become a VIP of this node; undefined where nothing speaks against it. */
  conflict(address: Address): string | undefined {
    if (this.#gateways.has(address)) return `${address} is the gateway of this node`;
    if (this.#nameservers.includes(address)) return `${address} is a name server of this node`;
    for (const object of this.#strangers().get(address) ?? []) {
      if (this.#carriesNothing(object)) continue;
      const name = this.nameOf(object.interfaceIndex);
      return `${address}/${object.prefixLength} is an address of this node (on ${name})`;
    }
    return undefined;
  }

  /**
   * An address on loopback or a dummy device, or a host address put there by another announcer, names no
   * node.
   */
  #carriesNothing(object: AddressObject): boolean {
    const link = this.#links.get(object.interfaceIndex);
    if (link?.loopback === true || link?.kind === 'dummy') return true;
    if (object.prefixLength !== hostLength(object.address)) return false;
    // A node may have nothing but a host address, and is then known by it.
    for (const other of this.#addresses.values()) {
      if (other.interfaceIndex !== object.interfaceIndex || other.id === object.id || !other.foreign)
        continue;
      if (familyOf(other.address) === familyOf(object.address) && !isLinkLocal(other.address)) return true;
    }
    return false;
  }

  #strangers(): ReadonlyMap<Address, readonly AddressObject[]> {
    this.#foreign ??= Map.groupBy(
      [...this.#addresses.values()].filter(({ foreign }) => foreign),
      ({ address }) => address,
    );
    return this.#foreign;
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

/** How long the prefix of an address is that stands for itself alone. */
export function hostLength(address: Address): number {
  return familyOf(address) === 4 ? 32 : 128;
}

function isLinkLocal(address: Address): boolean {
  return /^fe[89ab]/.test(address);
}
