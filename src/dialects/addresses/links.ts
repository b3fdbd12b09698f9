// Interfaces and gateways as rtnetlink tells them: where a VIP can go, and which addresses a node is known
// by.

import { NLM_F_DUMP, NLM_F_REQUEST } from '../../netlink/message.ts';
import {
  attributesOf,
  messagesOf,
  type Message as NetlinkMessage,
  textOf,
  u32,
} from '../../netlink/reader.ts';
import { Writer } from '../../netlink/writer.ts';
import { type Address, addressBytes, familyOf, formatAddress } from '../../state/address.ts';
import type { DumpRequest } from '../dialect.ts';
import {
  AF_INET,
  AF_INET6,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_UP,
  LinkAttribute,
  LinkInfoAttribute,
  Message,
  RouteAttribute,
} from './constants.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** The hardware address, six bytes for everything that speaks ARP. */
  readonly mac: Uint8Array;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly loopback: boolean;
  /** `veth`, `dummy`, `bridge` and so on; empty for hardware. */
  readonly kind: string;
}

const linkHeaderBytes = 16;
const routeHeaderBytes = 12;

export function linkDump(): DumpRequest {
  const writer = new Writer(64);
  const place = writer.beginMessage(Message.GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1);
  writer.raw(new Uint8Array(linkHeaderBytes));
  writer.endMessage(place);
  return { door: 'rtnetlink', bytes: writer.bytes.slice() };
}

/** Asks which way a packet to an address would take, without a dump of what may be a million routes. */
export function routeQuestion(destination: Address): DumpRequest {
  const writer = new Writer(64);
  const of4 = familyOf(destination) === 4;
  const place = writer.beginMessage(Message.GETROUTE, NLM_F_REQUEST, 1);
  writer.raw(Uint8Array.of(of4 ? AF_INET : AF_INET6, of4 ? 32 : 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  writer.attributeBytes(RouteAttribute.DST, addressBytes(destination));
  writer.endMessage(place);
  return { door: 'rtnetlink', bytes: writer.bytes.slice() };
}

export function readLinks(reply: Uint8Array): Link[] {
  return [...messagesOf(reply)].flatMap((message) => readLink(message) ?? []);
}

/** The interface of an RTM_NEWLINK message; undefined of any other message. */
export function readLink({ type, payload }: NetlinkMessage): Link | undefined {
  if (type !== Message.NEWLINK || payload.length < linkHeaderBytes) return undefined;
  const attributes = attributesOf(payload, linkHeaderBytes);
  const flags = u32(payload, 8);
  const info = attributesOf(attributes.get(LinkAttribute.LINKINFO) ?? new Uint8Array());
  return {
    index: u32(payload, 4),
    name: textOf(attributes.get(LinkAttribute.IFNAME) ?? new Uint8Array()),
    mac: (attributes.get(LinkAttribute.ADDRESS) ?? new Uint8Array(6)).slice(),
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    kind: textOf(info.get(LinkInfoAttribute.KIND) ?? new Uint8Array()),
  };
}

/** The gateway in the answer to a route question; undefined where there is none on the way, or no way. */
export function readGateway(reply: Uint8Array): Address | undefined {
  for (const { type, payload } of messagesOf(reply)) {
    if (type !== Message.NEWROUTE) continue;
    const gateway = attributesOf(payload, routeHeaderBytes).get(RouteAttribute.GATEWAY);
    if (gateway !== undefined) return formatAddress(gateway);
  }
  return undefined;
}
