// Interfaces as rtnetlink reports them; an interface can carry a VIP.

import { AF_INET6, NLM_F_DUMP } from '../../netlink/message.ts';
import { attributesOf, messagesOf, type Message as NetlinkMessage, u32 } from '../../netlink/reader.ts';
import { request } from '../../netlink/request.ts';
import type { DumpRequest } from '../dialect.ts';
import {
  AF_UNSPEC,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_UP,
  LinkAttribute,
  LinkInet6Attribute,
  LinkInfoAttribute,
  Message,
} from './constants.ts';
import { macText } from './probe.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** The hardware address: six bytes on an interface that speaks ARP, empty without one. */
  readonly mac: Uint8Array;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly loopback: boolean;
  /** `veth`, `dummy`, `bridge` and so on; empty for hardware. */
  readonly kind: string;
  /** The node forwards IPv6 packets that come in here: to its neighbours it is a router. */
  readonly isRouter: boolean;
}

const linkHeaderBytes = 16;

export function linkDump(): DumpRequest {
  const bytes = request(Message.GETLINK, NLM_F_DUMP, (writer) => writer.raw(new Uint8Array(linkHeaderBytes)));
  return { door: 'rtnetlink', bytes };
}

export function readLinks(reply: Uint8Array): Link[] {
  const links = [...messagesOf(reply)].filter(({ type }) => type === Message.NEWLINK);
  return links.flatMap((message) => readLink(message) ?? []);
}

/**
 * The interface of an RTM_NEWLINK or RTM_DELLINK message. Undefined for other messages, for messages about a
 * bridge port, and for the events of wireless drivers, which carry only the interface's name and flags
 * (net/wireless/wext-core.c).
 */
export function readLink({ type, payload }: NetlinkMessage): Link | undefined {
  if ((type !== Message.NEWLINK && type !== Message.DELLINK) || payload.length < linkHeaderBytes)
    return undefined;
  if (payload[0] !== AF_UNSPEC) return undefined;
  const attributes = attributesOf(payload, linkHeaderBytes);
  if (attributes.has(LinkAttribute.WIRELESS)) return undefined;
  const flags = u32(payload, 8);
  const info = attributes.nest(LinkAttribute.LINKINFO);
  const inet6 = attributes.nest(LinkAttribute.AF_SPEC).nest(AF_INET6);
  return {
    index: u32(payload, 4),
    name: attributes.text(LinkAttribute.IFNAME),
    mac: attributes.bytes(LinkAttribute.ADDRESS).slice(),
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    kind: info.text(LinkInfoAttribute.KIND),
    isRouter: u32(inet6.bytes(LinkInet6Attribute.CONF)) !== 0,
  };
}

/** The interface gained carrier, or has carrier with a new hardware address. */
export function hasRisen({ up, carrier, mac }: Link, before: Link | undefined): boolean {
  if (!up || !carrier) return false;
  return !(before?.up === true && before.carrier) || macText(before.mac) !== macText(mac);
}

/** No frame goes out or comes in: the interface is down or has no carrier. */
export function isDown({ up, carrier }: Link): boolean {
  return !up || !carrier;
}

/** The distinct hardware addresses of the links that have an Ethernet address. */
export function macsOf(links: readonly Link[]): string[] {
  return [...new Set(links.map(({ mac }) => macText(mac)))].filter((mac) => mac.length === 17);
}
