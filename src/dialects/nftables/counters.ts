// Counters of single elements: a request for a few keys instead of a dump of the set.

import { NLM_F_REQUEST } from '../../netlink/message.ts';
import { attributeList, attributesOf, messagesOf, u64Be } from '../../netlink/reader.ts';
import { nfgenmsg } from '../../netlink/request.ts';
import { Writer } from '../../netlink/writer.ts';
import type { DumpRequest } from '../dialect.ts';
import {
  CounterAttribute,
  DATA_VALUE,
  ElementAttribute,
  ElementListAttribute,
  EXPR_DATA,
  LIST_ELEM,
  Message,
  NFPROTO_INET,
  tableName,
} from './constants.ts';

export function counterQuestion(set: string, keys: readonly Uint8Array[]): DumpRequest {
  return elementQuestion(keys.map((key) => ({ set, key })));
}

/** One request per element. The kernel answers each with a message: the element, or ENOENT. */
export function elementQuestion(
  elements: readonly { readonly set: string; readonly key: Uint8Array }[],
): DumpRequest {
  const writer = new Writer(4096);
  for (const [index, { set, key }] of elements.entries()) {
    const place = writer.beginMessage(Message.GETSETELEM, NLM_F_REQUEST, index + 1);
    nfgenmsg(writer, NFPROTO_INET);
    writer.attributeText(ElementListAttribute.TABLE, tableName);
    writer.attributeText(ElementListAttribute.SET, set);
    const list = writer.beginNest(ElementListAttribute.ELEMENTS);
    const item = writer.beginNest(LIST_ELEM);
    const nest = writer.beginNest(ElementAttribute.KEY);
    writer.attributeBytes(DATA_VALUE, key);
    writer.endNest(nest);
    writer.endNest(item);
    writer.endNest(list);
    writer.endMessage(place);
  }
  return { door: 'nfnetlink', bytes: writer.bytes.slice() };
}

/** The positions in the request of the elements that exist. */
export function readPresent(reply: Uint8Array): Set<number> {
  const present = new Set<number>();
  for (const { type, sequence } of messagesOf(reply)) {
    if (type === Message.NEWSETELEM) present.add(sequence - 1);
  }
  return present;
}

/** Packets by the position of the key in the request. A key without an element or a counter has no entry. */
export function readCounters(reply: Uint8Array): Map<number, number> {
  const packets = new Map<number, number>();
  for (const { type, sequence, payload } of messagesOf(reply)) {
    if (type !== Message.NEWSETELEM) continue;
    for (const [, item] of attributeList(attributesOf(payload, 4).bytes(ElementListAttribute.ELEMENTS))) {
      const expression = attributesOf(item).nest(ElementAttribute.EXPR);
      const counter = expression.nest(EXPR_DATA).get(CounterAttribute.PACKETS);
      if (counter !== undefined) packets.set(sequence - 1, u64Be(counter));
    }
  }
  return packets;
}
