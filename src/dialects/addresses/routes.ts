// The gateways of a node, by the way that packets to everywhere would take.

import { AF_INET, AF_INET6, NLM_F_REQUEST } from '../../netlink/message.ts';
import { type Attributes, attributesOf, messagesOf, u16, u32 } from '../../netlink/reader.ts';
import { Writer } from '../../netlink/writer.ts';
import { type Address, addressBytes, familyOf, formatAddress, parseAddress } from '../../state/address.ts';
import type { DumpRequest } from '../dialect.ts';
import { Message, RouteAttribute, RTM_F_FIB_MATCH } from './constants.ts';

/**
 * The way to them is the way to everywhere. Documentation addresses have a way of their own only where a node
 * throws away what should not be on the Internet; for such a node there is a root server of the domain names.
 */
const elsewhere: readonly Address[] = ['192.0.2.1', '198.41.0.4', '2001:db8::1', '2001:503:ba3e::2:30'].map(
  parseAddress,
);

/** Of those, the one that everybody has a way to who has one to everywhere. */
const farAway = parseAddress('198.41.0.4');

const routeHeaderBytes = 12;
/** struct rtnexthop. */
const nextHopHeaderBytes = 8;

/**
 * Questions for the way that a packet would take, and for the whole route behind it with all its next hops;
 * without a dump of what may be a million routes.
 */
export function gatewayQuestions(): (DumpRequest & { readonly isForRoute: boolean })[] {
  return elsewhere.flatMap((destination) => [
    { ...routeQuestion(destination, 0), isForRoute: false },
    { ...routeQuestion(destination, RTM_F_FIB_MATCH), isForRoute: true },
  ]);
}

/** Every gateway in the answer to one of them; none where there is no way. Throws NetlinkError. */
export function readGateways(reply: Uint8Array): Address[] {
  const gateways: Address[] = [];
  for (const { type, payload } of messagesOf(reply)) {
    if (type !== Message.NEWROUTE) continue;
    const attributes = attributesOf(payload, routeHeaderBytes);
    gateways.push(...gatewayOf(attributes));
    const hops = attributes.get(RouteAttribute.MULTIPATH) ?? new Uint8Array();
    for (let place = 0; hops.length - place >= nextHopHeaderBytes; ) {
      const length = Math.max(nextHopHeaderBytes, u16(hops, place));
      gateways.push(...gatewayOf(attributesOf(hops.subarray(place, place + length), nextHopHeaderBytes)));
      place += (length + 3) & ~3;
    }
  }
  return gateways;
}

/**
 * The address that a route says to speak from, in the answer to a question for the route: whoever set it up
 * means the node by it. For a way the kernel has chosen one. Throws NetlinkError.
 */
export function readSources(reply: Uint8Array): Address[] {
  return [...messagesOf(reply)].flatMap(({ type, payload }) => {
    if (type !== Message.NEWROUTE) return [];
    const source = attributesOf(payload, routeHeaderBytes).get(RouteAttribute.PREFSRC);
    return source?.length === 4 || source?.length === 16 ? [formatAddress(source)] : [];
  });
}

/** The question for the way that an answer of `source` to somebody far away takes; `source` is IPv4. */
export function answerQuestion(source: Address): DumpRequest {
  return routeQuestion(farAway, 0, source);
}

/** The index of the interface that a way leaves by; undefined where there is no way. */
export function readOutgoing(reply: Uint8Array): number | undefined {
  for (const { type, payload } of messagesOf(reply)) {
    if (type !== Message.NEWROUTE) continue;
    const index = attributesOf(payload, routeHeaderBytes).get(RouteAttribute.OIF);
    if (index !== undefined) return u32(index);
  }
  return undefined;
}

/** RTA_VIA is a gateway of the other family: struct rtvia has its family before its bytes. */
function gatewayOf(attributes: Attributes): Address[] {
  const gateway = attributes.get(RouteAttribute.GATEWAY);
  const via = attributes.get(RouteAttribute.VIA)?.subarray(2);
  return [gateway, via].flatMap((bytes) =>
    bytes?.length === 4 || bytes?.length === 16 ? [formatAddress(bytes)] : [],
  );
}

function routeQuestion(destination: Address, flags: number, source?: Address): DumpRequest {
  const writer = new Writer(64);
  const of4 = familyOf(destination) === 4;
  const bits = of4 ? 32 : 128;
  const place = writer.beginMessage(Message.GETROUTE, NLM_F_REQUEST, 1);
  writer.raw(Uint8Array.of(of4 ? AF_INET : AF_INET6, bits, source === undefined ? 0 : bits, 0, 0, 0, 0, 0));
  writer.u32(flags);
  writer.attributeBytes(RouteAttribute.DST, addressBytes(destination));
  if (source !== undefined) writer.attributeBytes(RouteAttribute.SRC, addressBytes(source));
  writer.endMessage(place);
  return { door: 'rtnetlink', bytes: writer.bytes.slice() };
}
