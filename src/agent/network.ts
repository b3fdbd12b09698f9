// The node's interfaces and addresses as the kernel tells of them: where a VIP goes, and what must never
// become one.

import { Message } from '../dialects/addresses/constants.ts';
import { isTentative, readAddress } from '../dialects/addresses/decode.ts';
import { addresses } from '../dialects/addresses/dialect.ts';
import {
  type Link,
  linkDump,
  readGateway,
  readLink,
  readLinks,
  routeQuestion,
} from '../dialects/addresses/links.ts';
import type { AddressObject } from '../dialects/addresses/objects.ts';
import type { KernelObjects } from '../dialects/dialect.ts';
import type { Kernel } from '../host/kernel.ts';
import type { Message as NetlinkMessage } from '../netlink/reader.ts';
import {
  type Address,
  familyOf,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixContains,
  prefixLength,
} from '../state/address.ts';

/** Documentation addresses, which no node has a special way to: the way to them is the way to everywhere. */
const elsewhere: readonly Address[] = [parseAddress('192.0.2.1'), parseAddress('2001:db8::1')];

/** What an event meant for us. */
export type NetworkChange =
  | { readonly kind: 'address gone' | 'address usable'; readonly object: AddressObject }
  | { readonly kind: 'carrier'; readonly link: Link }
  /** An interface or an address of the node that was not there before. */
  | { readonly kind: 'new' }
  | { readonly kind: 'other' };

export class Network {
  readonly #kernel: Kernel;
  readonly #wanted: readonly string[];
  readonly #links = new Map<number, Link>();
  #addresses = new Map<string, AddressObject>();
  #gateways: readonly Address[] = [];
  #nameservers: readonly Address[] = [];

  /** `wanted` are the interfaces of `--interface`, in order of preference; `auto` means every one. */
  constructor(kernel: Kernel, wanted: readonly string[]) {
    this.#kernel = kernel;
    this.#wanted = wanted;
  }

  /** Reads everything anew, and returns what addresses there are. Throws SystemCallError. */
  async refresh(nameservers: readonly Address[]): Promise<KernelObjects<AddressObject>> {
    this.#links.clear();
    for (const link of readLinks(await this.#kernel.ask(linkDump()))) this.#links.set(link.index, link);
    const found = addresses.decode(await this.#kernel.dump(addresses.dumps));
    this.#addresses = new Map(found.elements.map((object) => [object.id, object]));
    const gateways: Address[] = [];
    for (const destination of elsewhere) {
      const gateway = readGateway(await this.#kernel.ask(routeQuestion(destination)));
      if (gateway !== undefined) gateways.push(gateway);
    }
    this.#gateways = gateways;
    this.#nameservers = nameservers;
    return found;
  }

  /** Takes an event in, and says what it meant. */
  onMessage(message: NetlinkMessage): NetworkChange {
    const link = readLink(message);
    if (link !== undefined) {
      const before = this.#links.get(link.index);
      this.#links.set(link.index, link);
      const risen = link.carrier && link.up && !(before?.carrier === true && before.up);
      if (risen) return { kind: 'carrier', link };
      return { kind: before?.name === link.name ? 'other' : 'new' };
    }
    const object = readAddress(message);
    if (object === undefined) return { kind: 'other' };
    if (message.type === Message.DELADDR) {
      this.#addresses.delete(object.id);
      return { kind: 'address gone', object };
    }
    const isNew = !this.#addresses.has(object.id);
    this.#addresses.set(object.id, object);
    if (object.foreign) return { kind: isNew ? 'new' : 'other' };
    return isTentative(message) ? { kind: 'other' } : { kind: 'address usable', object };
  }

  link(index: number): Link | undefined {
    return this.#links.get(index);
  }

  /**
   * The interface a VIP goes on: the one whose connected prefix holds it most closely, else the first that
   * was named.
   */
  interfaceFor(address: Address): Link | undefined {
    let best: { link: Link; length: number } | undefined;
    for (const { link, prefix } of this.#connected()) {
      if (!prefixContains(prefix, address)) continue;
      const length = prefixLength(prefix);
      if (best === undefined || length > best.length) best = { link, length };
    }
    return best?.link ?? this.#named()[0];
  }

  /**
   * Prefixes of the links a VIP could go on; with named interfaces `allow` too, for the user has said where
   * to put it.
   */
  onLink(allow: readonly Prefix[]): Prefix[] {
    const connected = [...this.#connected()].map(({ prefix }) => prefix);
    return [...new Set(this.#named().length > 0 ? [...connected, ...allow] : connected)];
  }

  /** Why an address must not become a VIP of this node; undefined where nothing speaks against it. */
  conflict(address: Address): string | undefined {
    if (this.#gateways.includes(address)) return `${address} is the gateway of this node`;
    if (this.#nameservers.includes(address)) return `${address} is a name server of this node`;
    for (const object of this.#addresses.values()) {
      if (object.address !== address || !object.foreign || this.#carriesNothing(object)) continue;
      const name = this.#links.get(object.interfaceIndex)?.name ?? `interface ${object.interfaceIndex}`;
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
    if (object.prefixLength !== (familyOf(object.address) === 4 ? 32 : 128)) return false;
    // A node may have nothing but a host address, and is then known by it.
    for (const other of this.#addresses.values()) {
      if (other.interfaceIndex !== object.interfaceIndex || other.id === object.id || !other.foreign)
        continue;
      if (familyOf(other.address) === familyOf(object.address) && !isLinkLocal(other.address)) return true;
    }
    return false;
  }

  *#connected(): Generator<{ link: Link; prefix: Prefix }> {
    const auto = this.#wanted.includes('auto');
    for (const object of this.#addresses.values()) {
      const link = this.#links.get(object.interfaceIndex);
      const host = familyOf(object.address) === 4 ? 32 : 128;
      if (
        link === undefined ||
        !object.foreign ||
        object.prefixLength === host ||
        isLinkLocal(object.address)
      )
        continue;
      if (auto ? link.loopback : !this.#wanted.includes(link.name)) continue;
      yield { link, prefix: parsePrefix(`${object.address}/${object.prefixLength}`) };
    }
  }

  #named(): Link[] {
    return this.#wanted.flatMap((name) => [...this.#links.values()].filter((link) => link.name === name));
  }
}

function isLinkLocal(address: Address): boolean {
  return /^fe[89ab]/.test(address);
}
