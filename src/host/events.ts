// Events of changes to the kernel by any process: multicast messages, and notices that some were lost.

import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../netlink/message.ts';
import { type Message, messagesOf, NetlinkError } from '../netlink/reader.ts';
import type { Native } from './native.ts';
import { checked, closeLater, openNetlink } from './socket.ts';

/** RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR of linux/rtnetlink.h. */
const networkGroups: readonly number[] = [1, 5, 9];
/** NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h. */
const nftablesGroups: readonly number[] = [7];

export interface Listener {
  /** Called with each message of a multicast group. */
  onMessage(message: Message): void;
  /** Called when messages were lost: state learned from events must be read again. */
  onLoss(): void;
}

/** Listens to the multicast groups of one protocol until disposed of. Throws SystemCallError. */
export function listen(native: Native, subject: 'network' | 'nftables', listener: Listener): Disposable {
  const [protocol, groups] =
    subject === 'network' ? [NETLINK_ROUTE, networkGroups] : [NETLINK_NETFILTER, nftablesGroups];
  const { fd } = openNetlink(native, protocol, groups);
  const watched = native.watch(fd, (result) => {
    if (typeof result === 'number') listener.onLoss();
    else hear(result, listener);
  });
  if (watched < 0) closeLater(native, fd);
  checked(`watch ${subject}`, watched);
  return {
    [Symbol.dispose]() {
      native.unwatch(fd);
      closeLater(native, fd);
    },
  };
}

/** A message that cannot be parsed counts as a loss, after which the kernel is read again. */
function hear(datagram: Uint8Array, listener: Listener): void {
  try {
    for (const message of messagesOf(datagram)) listener.onMessage(message);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    listener.onLoss();
  }
}
