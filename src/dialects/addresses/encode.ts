// A delta -> rtnetlink messages. Each is independent: an error does not stop the messages after it.

import type { MessageRecord } from '../../netlink/ack.ts';
import {
  AF_INET,
  AF_INET6,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from '../../netlink/message.ts';
import { Writer } from '../../netlink/writer.ts';
import { addressBytes, familyOf } from '../../state/address.ts';
import type { Delta, Transaction } from '../dialect.ts';
import {
  AddressAttribute,
  addressPriority,
  addressProtocol,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  INFINITY_LIFE_TIME,
  Message,
} from './constants.ts';
import type { AddressObject } from './objects.ts';

export function encode({ remove, add }: Delta<AddressObject>): Transaction<AddressObject> {
  const writer = new Writer(256);
  const records: MessageRecord<AddressObject>[] = [];
  let sequence = 0;
  const say = (type: number, flags: number, object: AddressObject): void => {
    const last = ++sequence === remove.length + add.length;
    // The kernel always answers errors. The last message also requests an ACK, which proves that all were
    // read.
    const place = writer.beginMessage(type, NLM_F_REQUEST | flags | (last ? NLM_F_ACK : 0), sequence);
    body(writer, type, object);
    writer.endMessage(place);
    records.push({ sequence, objects: [object], first: 0, stride: 0 });
  };
  for (const object of remove) say(Message.DELADDR, 0, object);
  for (const object of add) say(Message.NEWADDR, NLM_F_CREATE | NLM_F_EXCL, object);
  if (sequence === 0) return { door: 'rtnetlink', steps: [] };
  const bytes = writer.bytes.slice();
  return { door: 'rtnetlink', steps: [{ bytes, split: bytes.length, barrier: sequence, records }] };
}

/** struct ifaddrmsg and its attributes. */
function body(writer: Writer, type: number, object: AddressObject): void {
  const bytes = addressBytes(object.address);
  writer.u8(familyOf(object.address) === 4 ? AF_INET : AF_INET6);
  writer.u8(object.prefixLength);
  writer.u8(0);
  writer.u8(object.scope);
  writer.u32(object.interfaceIndex);
  writer.attributeBytes(AddressAttribute.LOCAL, bytes);
  writer.attributeBytes(AddressAttribute.ADDRESS, bytes);
  if (type !== Message.NEWADDR) return;
  writer.attributeU32(AddressAttribute.FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
  writer.attributeU32(AddressAttribute.RT_PRIORITY, addressPriority);
  writer.attributeU8(AddressAttribute.PROTO, addressProtocol);
  const lifetimes = new Uint8Array(16);
  new DataView(lifetimes.buffer).setUint32(4, INFINITY_LIFE_TIME, true);
  writer.attributeBytes(AddressAttribute.CACHEINFO, lifetimes);
}
