// Replies to an address dump -> our addresses and the node's other ones, in the shape that render() makes.

import { NLM_F_DUMP } from '../../netlink/message.ts';
import { attributesOf, messagesOf, type Message as NetlinkMessage, u32 } from '../../netlink/reader.ts';
import { request } from '../../netlink/request.ts';
import { formatAddress, isMapped } from '../../state/address.ts';
import type { DumpRequest, KernelObjects } from '../dialect.ts';
import {
  AddressAttribute,
  addressPriority,
  addressProtocol,
  IFA_F_DADFAILED,
  IFA_F_TENTATIVE,
  Message,
} from './constants.ts';
import { type AddressObject, addressObject } from './objects.ts';

const headerBytes = 8;

export function addressDump(): DumpRequest {
  const bytes = request(Message.GETADDR, NLM_F_DUMP, (writer) => writer.raw(new Uint8Array(headerBytes)));
  return { door: 'rtnetlink', bytes };
}

export function decode(replies: readonly Uint8Array[]): KernelObjects<AddressObject> {
  const elements = replies.flatMap((reply) =>
    [...messagesOf(reply)].flatMap((message) => readAddress(message) ?? []),
  );
  return { constants: [], elements, needs: null };
}

/** The address of an RTM_NEWADDR or RTM_DELADDR message; undefined for other messages. */
export function readAddress({ type, payload }: NetlinkMessage): AddressObject | undefined {
  if (type !== Message.NEWADDR && type !== Message.DELADDR) return undefined;
  const attributes = attributesOf(payload, headerBytes);
  // IPv4 has the address in LOCAL and its peer in ADDRESS; IPv6 may have only ADDRESS.
  const bytes = attributes.get(AddressAttribute.LOCAL) ?? attributes.get(AddressAttribute.ADDRESS);
  if (bytes === undefined || (bytes.length !== 4 && bytes.length !== 16)) return undefined;
  // An IPv4-mapped IPv6 address is neither a VIP nor evidence of a link for one.
  if (isMapped(bytes)) return undefined;
  const priority = attributes.get(AddressAttribute.RT_PRIORITY);
  const ours =
    attributes.get(AddressAttribute.PROTO)?.[0] === addressProtocol ||
    (priority !== undefined && u32(priority) === addressPriority);
  const [, prefixLength = 0, , scope = 0] = payload;
  const lifetimes = attributes.get(AddressAttribute.CACHEINFO);
  return addressObject(
    { address: formatAddress(bytes), prefixLength, interfaceIndex: u32(payload, 4), scope },
    !ours,
    {
      isDuplicate: (flagsOf(attributes) & IFA_F_DADFAILED) !== 0,
      // struct ifa_cacheinfo begins with ifa_prefered. IPv4 says forever whatever it was given.
      isPreferred: bytes.length === 16 && lifetimes !== undefined && u32(lifetimes) > 0,
    },
  );
}

/** True while duplicate address detection keeps an IPv6 address unusable. */
export function isTentative({ payload }: NetlinkMessage): boolean {
  return (flagsOf(attributesOf(payload, headerBytes)) & IFA_F_TENTATIVE) !== 0;
}

function flagsOf(attributes: ReturnType<typeof attributesOf>): number {
  const flags = attributes.get(AddressAttribute.FLAGS);
  return flags === undefined ? 0 : u32(flags);
}
