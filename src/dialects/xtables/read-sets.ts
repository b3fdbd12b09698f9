// Replies to LIST -> our sets and their elements, and the indexes by which rules refer to sets.

import {
  type Attributes,
  attributeList,
  attributesOf,
  messagesOf,
  noBytes,
  u16Be,
  u32Be,
} from '../../netlink/reader.ts';
import { type Address, formatAddress } from '../../state/address.ts';
import {
  Command,
  CreateAttribute,
  DataAttribute,
  NFPROTO_IPV6,
  SetAttribute,
  type SetType,
  swapSuffix,
  WITH_COUNTERS,
} from './constants.ts';
import { sampleSetNames, sentSetNames, setNames } from './dumps.ts';
import {
  type ElementObject,
  elementObject,
  type Key,
  type SetObject,
  setHandle,
  setObject,
} from './objects.ts';

const known: ReadonlySet<string> = new Set(
  [...setNames, ...sampleSetNames, ...sentSetNames].flatMap((name) => [name, name + swapSuffix]),
);
/** Every set's index, by which rules refer to it. */
export function readIndexes(reply: Uint8Array): Map<string, number> {
  const indexes = new Map<string, number>();
  for (const attributes of listed(reply)) {
    const index = attributes.get(SetAttribute.INDEX);
    if (index !== undefined) indexes.set(nameOf(attributes), u16Be(index));
  }
  return indexes;
}

export function readSets(reply: Uint8Array): Map<string, SetObject> {
  const sets = new Map<string, SetObject>();
  for (const attributes of listed(reply)) {
    const name = nameOf(attributes);
    if (!known.has(name)) continue;
    const data = attributes.nest(SetAttribute.DATA);
    const flags = u32Be(data.bytes(DataAttribute.CADT_FLAGS));
    // A set with `netmask` or `bitmask` stores networks instead of the added addresses, so it is replaced.
    const isMasked = data.has(CreateAttribute.NETMASK) || data.has(CreateAttribute.BITMASK);
    const shape = {
      name,
      type: attributes.text(SetAttribute.TYPENAME) as SetType,
      family: attributes.get(SetAttribute.FAMILY)?.[0] === NFPROTO_IPV6 ? (6 as const) : (4 as const),
      size: isMasked ? 0 : u32Be(data.bytes(DataAttribute.MAXELEM)),
      counters: (flags & WITH_COUNTERS) !== 0,
      timeoutSeconds: u32Be(data.bytes(DataAttribute.TIMEOUT)),
    };
    sets.set(name, setObject(shape));
  }
  return sets;
}

/** Every element of a reply with its raw attributes. */
export function* listedElements(reply: Uint8Array): Generator<{ set: string; data: Attributes }> {
  for (const attributes of listed(reply)) {
    const set = nameOf(attributes);
    for (const [, item] of attributeList(attributes.bytes(SetAttribute.ADT))) {
      yield { set, data: attributesOf(item) };
    }
  }
}

/** A generator, so that a caller with many elements can pause between them. */
export function* readElements(
  reply: Uint8Array,
  sets: ReadonlyMap<string, SetObject>,
): Generator<ElementObject> {
  const handles = new Map([...sets].map(([name, set]) => [name, setHandle(set)]));
  for (const { set, data } of listedElements(reply)) {
    yield elementObject(handles.get(set) ?? { name: set, version: '' }, keyOf(data));
  }
}

/** The key of an element. A source without a prefix length is a single host. */
export function keyOf(data: Attributes): Key {
  const source = data.get(DataAttribute.IP2);
  return {
    address: addressIn(data.get(DataAttribute.IP)),
    protocol: data.get(DataAttribute.PROTO)?.[0] ?? 0,
    port: u16Be(data.bytes(DataAttribute.PORT)),
    source: source === undefined ? null : addressIn(source),
    sourceLength: source === undefined ? 0 : (data.get(DataAttribute.CIDR2)?.[0] ?? bitsIn(source)),
  };
}

/** An address is nested, as an IPv4 or an IPv6 attribute. */
function addressIn(nest: Uint8Array = noBytes): Address {
  for (const [, value] of attributeList(nest)) return formatAddress(value);
  return formatAddress(new Uint8Array(4));
}

function bitsIn(nest: Uint8Array): number {
  for (const [, value] of attributeList(nest)) return value.length * 8;
  return 0;
}

function* listed(reply: Uint8Array): Generator<Attributes> {
  for (const { type, payload } of messagesOf(reply))
    if (type === Command.LIST) yield attributesOf(payload, 4);
}

function nameOf(attributes: Attributes): string {
  return attributes.text(SetAttribute.SETNAME);
}
