// The gateways of a node, from the routes that packets to the Internet would take.

import { AF_INET, AF_INET6 } from '../../netlink/message.ts';
import { type Attributes, attributesOf, messagesOf, u16, u32 } from '../../netlink/reader.ts';
import { request } from '../../netlink/request.ts';
import { type Address, addressBytes, familyOf, formatAddress, parseAddress } from '../../state/address.ts';
import type { DumpRequest } from '../dialect.ts';
import { Message, RouteAttribute, RTCF_REDIRECTED, RTM_F_FIB_MATCH } from './constants.ts';

/**
 * Destinations whose route is the default route. A node that discards bogons has its own route for the
 * documentation addresses; for such a node there is a DNS root server.
 */
const elsewhere: readonly Address[] = ['192.0.2.1', '198.41.0.4', '2001:db8::1', '2001:503:ba3e::2:30'].map(
  parseAddress,
);

/** The destination for which every node with a default route has a route. */
const farAway = parseAddress('198.41.0.4');

const routeHeaderBytes = 12;
/** rtm_flags of struct rtmsg. */
const flagsOffset = 8;
/** struct rtnexthop. */
const nextHopHeaderBytes = 8;

/**
 * Requests for the route of a packet, and for the whole matching route with all its next hops. They avoid a
 * dump of what may be a million routes.
 */
export function gatewayQuestions(): (DumpRequest & { readonly isForRoute: boolean })[] {
  return elsewhere.flatMap((destination) => [
    { ...routeQuestion(destination, 0), isForRoute: false },
    { ...routeQuestion(destination, RTM_F_FIB_MATCH), isForRoute: true },
  ]);
}

/**
 * Every gateway in the reply to one of these requests; none if there is no route. An ICMP redirect makes no
 * gateway: any neighbour can send one that names a VIP. Throws NetlinkError.
 */
export function readGateways(reply: Uint8Array): Address[] {
  const gateways: Address[] = [];
  for (const { type, payload } of messagesOf(reply)) {
    if (type !== Message.NEWROUTE || (u32(payload, flagsOffset) & RTCF_REDIRECTED) !== 0) continue;
    const attributes = attributesOf(payload, routeHeaderBytes);
    gateways.push(...gatewayOf(attributes));
    const hops = attributes.bytes(RouteAttribute.MULTIPATH);
    for (let place = 0; hops.length - place >= nextHopHeaderBytes; ) {
      const length = Math.max(nextHopHeaderBytes, u16(hops, place));
      gateways.push(...gatewayOf(attributesOf(hops.subarray(place, place + length), nextHopHeaderBytes)));
      place += (length + 3) & ~3;
    }
  }
  return gateways;
}

/**
 * The preferred source of a route, in the reply to a request for the whole route: an administrator who sets
 * it means the node by it. In the other reply the kernel has chosen the source. Throws NetlinkError.
 */
export function readSources(reply: Uint8Array): Address[] {
  return [...messagesOf(reply)].flatMap(({ type, payload }) => {
    if (type !== Message.NEWROUTE) return [];
    const source = attributesOf(payload, routeHeaderBytes).get(RouteAttribute.PREFSRC);
    return source?.length === 4 || source?.length === 16 ? [formatAddress(source)] : [];
  });
}

/** Requests the route of an answer from `source` (IPv4) to a distant host. */
export function answerQuestion(source: Address): DumpRequest {
  return routeQuestion(farAway, 0, source);
}

/** The index of the outgoing interface; undefined if there is no route. */
export function readOutgoing(reply: Uint8Array): number | undefined {
  for (const { type, payload } of messagesOf(reply)) {
    if (type !== Message.NEWROUTE) continue;
    const index = attributesOf(payload, routeHeaderBytes).get(RouteAttribute.OIF);
    if (index !== undefined) return u32(index);
  }
  return undefined;
}

/** RTA_VIA is a gateway of the other family: struct rtvia has the family before the bytes. */
function gatewayOf(attributes: Attributes): Address[] {
  const gateway = attributes.get(RouteAttribute.GATEWAY);
  const via = attributes.get(RouteAttribute.VIA)?.subarray(2);
  return [gateway, via].flatMap((bytes) =>
    bytes?.length === 4 || bytes?.length === 16 ? [formatAddress(bytes)] : [],
  );
}

function routeQuestion(destination: Address, flags: number, source?: Address): DumpRequest {
  const of4 = familyOf(destination) === 4;
  const bits = of4 ? 32 : 128;
  const from = source === undefined ? 0 : bits;
  const bytes = request(Message.GETROUTE, 0, (writer) => {
    writer.raw(Uint8Array.of(of4 ? AF_INET : AF_INET6, bits, from, 0, 0, 0, 0, 0));
    writer.u32(flags);
    writer.attributeBytes(RouteAttribute.DST, addressBytes(destination));
    if (source !== undefined) writer.attributeBytes(RouteAttribute.SRC, addressBytes(source));
  });
  return { door: 'rtnetlink', bytes };
}
