// Asking a link for an address before it is taken: the ARP probe (RFC 5227 2.1.1), the solicitation of
// duplicate address detection (RFC 4862 5.4.2), and who answers.

import { type Address, addressBytes, familyOf, formatAddress } from '../../state/address.ts';
import {
  ETH_P_ARP,
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_SOLICITATION,
  TARGET_LINK_LAYER_ADDRESS,
} from './constants.ts';
import { ARPOP_REPLY, ARPOP_REQUEST, arpFrame, icmp6Frame } from './frames.ts';

/** Somebody who answers for an address. */
export interface Answer {
  readonly address: Address;
  /** Six bytes in lower-case hexadecimal digits, with colons. */
  readonly mac: string;
}

const solicitedFlag = 0x40;

/** The frame that asks for `address` from `mac`, and makes nobody believe that the address is there. */
export function probeFrame(address: Address, mac: Uint8Array): Uint8Array {
  const target = addressBytes(address);
  const nobody = new Uint8Array(target.length);
  if (familyOf(address) === 4) return arpFrame({ operation: ARPOP_REQUEST, mac, sender: nobody, target });
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...target.subarray(13));
  const message = Uint8Array.of(NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0, ...target);
  return icmp6Frame({ mac, source: nobody, group, message });
}

/** Who answers an ARP probe, of a whole frame; undefined for any other frame. */
export function readArpAnswer(frame: Uint8Array): Answer | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 42 || view.getUint16(12) !== ETH_P_ARP) return undefined;
  // Ethernet and IPv4, with the lengths of their addresses.
  if (view.getUint32(14) !== 0x0001_0800 || view.getUint16(18) !== 0x0604) return undefined;
  if (view.getUint16(20) !== ARPOP_REPLY || view.getUint32(38) !== 0) return undefined;
  return { address: formatAddress(frame.subarray(28, 32)), mac: macText(frame.subarray(22, 28)) };
}

/**
 * Who answers the solicitation, of an ICMPv6 message; undefined for any other message. As nobody has asked,
 * the answer goes to all nodes, and has to name the hardware (RFC 4861 7.2.4).
 */
export function readAdvertisement(message: Uint8Array): Answer | undefined {
  if (message.length < 24 || message[0] !== NEIGHBOR_ADVERTISEMENT || message[1] !== 0) return undefined;
  if (((message[4] ?? 0) & solicitedFlag) !== 0) return undefined;
  for (let place = 24; message.length - place >= 8; ) {
    const [type, units = 0] = message.subarray(place, place + 2);
    if (units === 0) return undefined;
    if (type === TARGET_LINK_LAYER_ADDRESS && units === 1) {
      const mac = macText(message.subarray(place + 2, place + 8));
      return { address: formatAddress(message.subarray(8, 24)), mac };
    }
    place += units * 8;
  }
  return undefined;
}

/** A hardware address as it is written. */
export function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
