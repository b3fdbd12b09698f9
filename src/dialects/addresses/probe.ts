// Asks a link for an address before the node takes it: ARP probe (RFC 5227 2.1.1) and duplicate address
// detection (RFC 4862 5.4.2). It also reads the answers, and the probes of other hosts.

import { type Address, addressBytes, familyOf, formatAddress } from '../../state/address.ts';
import {
  ETH_P_ARP,
  NEIGHBOR_ADVERTISEMENT,
  NEIGHBOR_SOLICITATION,
  TARGET_LINK_LAYER_ADDRESS,
} from './constants.ts';
import { ARPOP_REPLY, ARPOP_REQUEST, arpFrame, icmp6Frame, readIcmp6 } from './frames.ts';

/** Another host that answers for an address, or probes for it in order to take it. */
export interface Rival {
  readonly address: Address;
  /** Six bytes in lower-case hexadecimal digits, with colons. */
  readonly mac: string;
  readonly does: 'answer' | 'ask';
}

const solicitedFlag = 0x40;

/** The probe for `address` from `mac`. Its sender address is unspecified, so that no host learns from it. */
export function probeFrame(address: Address, mac: Uint8Array): Uint8Array {
  const target = addressBytes(address);
  const nobody = new Uint8Array(target.length);
  if (familyOf(address) === 4) return arpFrame({ operation: ARPOP_REQUEST, mac, sender: nobody, target });
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...target.subarray(13));
  const message = Uint8Array.of(NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0, ...target);
  return icmp6Frame({ mac, source: nobody, group, message });
}

/** The sender of an answer to an ARP probe, or of a probe, from a whole frame; undefined for other frames. */
export function readArpRival(frame: Uint8Array): Rival | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 42 || view.getUint16(12) !== ETH_P_ARP) return undefined;
  // Ethernet and IPv4, with the lengths of their addresses.
  if (view.getUint32(14) !== 0x0001_0800 || view.getUint16(18) !== 0x0604) return undefined;
  const operation = view.getUint16(20);
  const mac = macText(frame.subarray(22, 28));
  const [sender, target] = [frame.subarray(28, 32), frame.subarray(38, 42)];
  if (operation === ARPOP_REPLY && isNobodys(target))
    return { address: formatAddress(sender), mac, does: 'answer' };
  if (operation === ARPOP_REQUEST && isNobodys(sender))
    return { address: formatAddress(target), mac, does: 'ask' };
  return undefined;
}

/** The sender of an unsolicited advertisement or of a DAD solicitation; undefined for other frames. */
export function readNeighborRival(frame: Uint8Array): Rival | undefined {
  const message = readIcmp6(frame);
  if (message === undefined || message.length < 24 || message[1] !== 0) return undefined;
  const address = formatAddress(message.subarray(8, 24));
  if (message[0] === NEIGHBOR_ADVERTISEMENT) {
    const mac = advertisedMac(message);
    return mac === undefined ? undefined : { address, mac, does: 'answer' };
  }
  // A DAD solicitation has no link-layer option, so that no host learns from it (RFC 4862 5.4.2).
  if (message[0] === NEIGHBOR_SOLICITATION && isNobodys(frame.subarray(22, 38)))
    return { address, mac: macText(frame.subarray(6, 12)), does: 'ask' };
  return undefined;
}

/** The answer to a DAD solicitation goes to all nodes and has the link-layer address (RFC 4861 7.2.4). */
function advertisedMac(message: Uint8Array): string | undefined {
  if (((message[4] ?? 0) & solicitedFlag) !== 0) return undefined;
  for (let place = 24; message.length - place >= 8; ) {
    const [type, units = 0] = message.subarray(place, place + 2);
    if (units === 0) return undefined;
    if (type === TARGET_LINK_LAYER_ADDRESS && units === 1)
      return macText(message.subarray(place + 2, place + 8));
    place += units * 8;
  }
  return undefined;
}

function isNobodys(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

/** A hardware address as text. */
export function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
