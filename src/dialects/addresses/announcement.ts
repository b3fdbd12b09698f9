// Announcement frames: gratuitous ARP in both forms (RFC 5227), and the unsolicited neighbour advertisement
// (RFC 4861).

import { type Address, addressBytes, familyOf } from '../../state/address.ts';
import { NEIGHBOR_ADVERTISEMENT, TARGET_LINK_LAYER_ADDRESS } from './constants.ts';
import { ARPOP_REPLY, ARPOP_REQUEST, arpFrame, icmp6Frame } from './frames.ts';

const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const [routerFlag, overrideFlag] = [0x80, 0x20];

/**
 * The frames that announce to all hosts on a link that `address` is at `mac`. Those of IPv6 say whether it is
 * a router, as the kernel's own advertisements do: a router that hears of a change looks through its routes.
 */
export function announcementFrames(address: Address, mac: Uint8Array, isRouter = false): Uint8Array[] {
  if (familyOf(address) === 6) return [neighbourAdvertisement(address, mac, isRouter)];
  const bytes = addressBytes(address);
  // Some switches and routers learn from only one of the two forms.
  return ([ARPOP_REQUEST, ARPOP_REPLY] as const).map((operation) =>
    arpFrame({ operation, mac, sender: bytes, target: bytes }),
  );
}

/** To all nodes, with the override flag and our link-layer address. */
function neighbourAdvertisement(address: Address, mac: Uint8Array, isRouter: boolean): Uint8Array {
  const source = addressBytes(address);
  const flags = overrideFlag | (isRouter ? routerFlag : 0);
  const head = [NEIGHBOR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
  const message = Uint8Array.of(...head, ...source, TARGET_LINK_LAYER_ADDRESS, 1, ...mac);
  return icmp6Frame({ mac, source, group: allNodes, message });
}
