// Link-layer frames of address resolution: ARP (RFC 826), and ICMPv6 to a multicast group (RFC 4861).

import { ETH_P_IPV6, IPPROTO_ICMPV6 } from './constants.ts';

const broadcast = new Uint8Array(6).fill(0xff);
/** The driver or the peer pads a shorter frame; padding it here keeps the padding zero. */
const leastFrameBytes = 60;

export const ARPOP_REQUEST = 1;
export const ARPOP_REPLY = 2;

export interface ArpFrame {
  readonly operation: typeof ARPOP_REQUEST | typeof ARPOP_REPLY;
  /** The sender's hardware address. */
  readonly mac: Uint8Array;
  /** Four bytes each. */
  readonly sender: Uint8Array;
  readonly target: Uint8Array;
}

/** A broadcast frame. The target hardware address is zero in a request, broadcast in a reply. */
export function arpFrame({ operation, mac, sender, target }: ArpFrame): Uint8Array {
  const frame = new Uint8Array(leastFrameBytes);
  frame.set(broadcast, 0);
  frame.set(mac, 6);
  frame.set([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation], 12);
  frame.set(mac, 22);
  frame.set(sender, 28);
  if (operation === ARPOP_REPLY) frame.set(broadcast, 32);
  frame.set(target, 38);
  return frame;
}

export interface Icmp6Frame {
  readonly mac: Uint8Array;
  readonly source: Uint8Array;
  /** The multicast destination address. */
  readonly group: Uint8Array;
  /** The message with a zero checksum; icmp6Frame fills the checksum in. */
  readonly message: Uint8Array;
}

/** The hop limit is 255; receivers discard neighbour discovery messages with any other. */
export function icmp6Frame({ mac, source, group, message }: Icmp6Frame): Uint8Array {
  const frame = new Uint8Array(54 + message.length);
  frame.set([0x33, 0x33, ...group.subarray(12)], 0);
  frame.set(mac, 6);
  frame.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, message.length, 58, 255], 12);
  frame.set(source, 22);
  frame.set(group, 38);
  frame.set(message, 54);
  const sum = checksum(frame);
  frame.set([sum >> 8, sum & 0xff], 56);
  return frame;
}

/** The ICMPv6 message of a whole frame; undefined for other frames and for damaged ones. */
export function readIcmp6(frame: Uint8Array): Uint8Array | undefined {
  if (etherTypeOf(frame) !== ETH_P_IPV6 || frame[20] !== IPPROTO_ICMPV6) return undefined;
  const end = 54 + (((frame[18] ?? 0) << 8) | (frame[19] ?? 0));
  if (end > frame.length || checksum(frame.subarray(0, end)) !== 0) return undefined;
  return frame.subarray(54, end);
}

/** The EtherType of a frame (linux/if_ether.h). */
export function etherTypeOf(frame: Uint8Array): number {
  return ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
}

/**
 * The ICMPv6 checksum over the message and the pseudo-header: both addresses, the length and the protocol. It
 * is zero if the message already contains the right one.
 */
function checksum(frame: Uint8Array): number {
  let sum = frame.length - 54 + 58;
  for (let place = 22; place < frame.length; place += 2)
    sum += ((frame[place] ?? 0) << 8) | (frame[place + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
