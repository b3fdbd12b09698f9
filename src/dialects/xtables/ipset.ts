// Messages of ipset (linux/netfilter/ipset/ip_set.h): sets, single elements, and LIST requests.

import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST } from '../../netlink/message.ts';
import { nfgenmsg } from '../../netlink/request.ts';
import { NLA_F_NESTED, type Writer } from '../../netlink/writer.ts';
import { addressBytes } from '../../state/address.ts';
import {
  Command,
  DataAttribute,
  IPADDR_IPV4,
  IPADDR_IPV6,
  ipsetProtocol,
  LIST_HEADER,
  NLA_F_NET_BYTEORDER,
  SetAttribute,
  setTypes,
  WITH_COUNTERS,
} from './constants.ts';
import { shapeOf } from './families.ts';
import type { Key, SetShape } from './objects.ts';

/** The kernel creates no hash table with fewer buckets. */
const leastBuckets = 64;

interface Head {
  readonly sequence: number;
  readonly name?: string;
  readonly flags?: number;
}

/** A message with the protocol version and, if given, the name of a set. */
export function command(writer: Writer, type: number, head: Head, body: () => void = () => {}): void {
  const place = beginCommand(writer, type, head);
  body();
  writer.endMessage(place);
}

/** Opens such a message and returns its offset for endMessage. */
function beginCommand(writer: Writer, type: number, { sequence, name, flags = 0 }: Head): number {
  const place = writer.beginMessage(type, NLM_F_REQUEST | flags, sequence);
  nfgenmsg(writer, 0);
  writer.attributeU8(SetAttribute.PROTOCOL, ipsetProtocol);
  if (name !== undefined) writer.attributeText(SetAttribute.SETNAME, name);
  return place;
}

/** Gives the set as many buckets as it may hold elements, so that no lookup ever meets a resize. */
export function createSet(writer: Writer, sequence: number, name: string, shape: SetShape): void {
  const { type, family, size, counters, timeoutSeconds } = shape;
  command(writer, Command.CREATE, { sequence, name, flags: NLM_F_CREATE }, () => {
    writer.attributeText(SetAttribute.TYPENAME, type);
    writer.attributeU8(SetAttribute.REVISION, setTypes[type].revision);
    writer.attributeU8(SetAttribute.FAMILY, shapeOf(family).nfproto);
    const data = writer.beginNest(SetAttribute.DATA | NLA_F_NESTED);
    const buckets = Math.max(leastBuckets, 2 ** Math.ceil(Math.log2(size)));
    writer.attributeU32Be(DataAttribute.HASHSIZE | NLA_F_NET_BYTEORDER, buckets);
    writer.attributeU32Be(DataAttribute.MAXELEM | NLA_F_NET_BYTEORDER, size);
    if (counters) writer.attributeU32Be(DataAttribute.CADT_FLAGS | NLA_F_NET_BYTEORDER, WITH_COUNTERS);
    if (timeoutSeconds > 0)
      writer.attributeU32Be(DataAttribute.TIMEOUT | NLA_F_NET_BYTEORDER, timeoutSeconds);
    writer.endNest(data);
  });
}

export function swapSets(writer: Writer, sequence: number, name: string, other: string): void {
  command(writer, Command.SWAP, { sequence, name }, () => {
    writer.attributeText(SetAttribute.TYPENAME, other);
  });
}

/**
 * ADD or DEL of a key with this address. Without NLM_F_EXCL it is no error to add an existing element or to
 * delete a missing one.
 */
export function element(
  writer: Writer,
  type: number,
  sequence: number,
  { set, key, address }: { readonly set: string; readonly key: Key; readonly address: Uint8Array },
): void {
  const place = beginCommand(writer, type, { sequence, name: set });
  const data = writer.beginNest(SetAttribute.DATA | NLA_F_NESTED);
  addressNest(writer, DataAttribute.IP, address);
  if (key.protocol !== 0) {
    writer.attributeU16Be(DataAttribute.PORT | NLA_F_NET_BYTEORDER, key.port);
    writer.attributeU8(DataAttribute.PROTO, key.protocol);
  }
  if (key.source !== null) {
    addressNest(writer, DataAttribute.IP2, addressBytes(key.source));
    writer.attributeU8(DataAttribute.CIDR2, key.sourceLength);
  }
  writer.endNest(data);
  writer.endMessage(place);
}

/** Lists a set with its elements, or the headers of all sets. */
export function list(writer: Writer, name?: string): void {
  const named = name === undefined ? {} : { name };
  command(writer, Command.LIST, { sequence: 1, flags: NLM_F_DUMP, ...named }, () => {
    if (name === undefined) writer.attributeU32Be(SetAttribute.FLAGS | NLA_F_NET_BYTEORDER, LIST_HEADER);
  });
}

function addressNest(writer: Writer, type: number, bytes: Uint8Array): void {
  const nest = writer.beginNest(type | NLA_F_NESTED);
  writer.attributeBytes((bytes.length === 4 ? IPADDR_IPV4 : IPADDR_IPV6) | NLA_F_NET_BYTEORDER, bytes);
  writer.endNest(nest);
}
