// Announcement frames: gratuitous ARP in both forms (RFC 5227), and the unsolicited neighbour advertisement
// (RFC 4861).

import { type Address, addressBytes, familyOf } from '../../state/address.ts';

const broadcast = new Uint8Array(6).fill(0xff);
/**
 * A frame shorter than this is padded by the driver or the peer; padding it ourselves keeps the bytes zero.
 */
const leastFrameBytes = 60;

/** The frames that tell everybody on a link that `address` is at `mac`. */
export function announcementFrames(address: Address, mac: Uint8Array): Uint8Array[] {
  if (familyOf(address) === 6) return [neighbourAdvertisement(address, mac)];
  // Some switches and routers learn from only one of the two forms.
  return [gratuitousArp(address, mac, 1), gratuitousArp(address, mac, 2)];
}

/** ARPOP_REQUEST (1) names no target hardware, ARPOP_REPLY (2) names everybody's. */
function gratuitousArp(address: Address, mac: Uint8Array, operation: 1 | 2): Uint8Array {
  const frame = new Uint8Array(leastFrameBytes);
  const bytes = addressBytes(address);
  frame.set(broadcast, 0);
  frame.set(mac, 6);
  frame.set([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation], 12);
  frame.set(mac, 22);
  frame.set(bytes, 28);
  if (operation === 2) frame.set(broadcast, 32);
  frame.set(bytes, 38);
  return frame;
}

/** To all nodes (ff02::1), with the override flag and our link-layer address, hop limit 255. */
function neighbourAdvertisement(address: Address, mac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(14 + 40 + 32);
  const bytes = addressBytes(address);
  const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
  frame.set([0x33, 0x33, 0, 0, 0, 1], 0);
  frame.set(mac, 6);
  frame.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255], 12);
  frame.set(bytes, 22);
  frame.set(allNodes, 38);
  frame.set([136, 0, 0, 0, 0x20, 0, 0, 0], 54);
  frame.set(bytes, 62);
  frame.set([2, 1], 78);
  frame.set(mac, 80);
  const sum = checksum(frame);
  frame.set([sum >> 8, sum & 0xff], 56);
  return frame;
}

/** The ICMPv6 checksum over the pseudo-header: both addresses, the length and the protocol. */
function checksum(frame: Uint8Array): number {
  let sum = 32 + 58;
  for (let place = 22; place < frame.length; place += 2)
    sum += ((frame[place] ?? 0) << 8) | (frame[place + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
