// What others do to the kernel, as it happens: multicast messages, and the word that some were lost.

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
  /** Called when messages were lost: whatever was learned from them must be read anew. */
  onLoss(): void;
}

/** Listens to the groups of one protocol until disposed of. Throws SystemCallError. */
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

/** What cannot be read ends nothing: it is a loss, after which the kernel is asked. */
function hear(datagram: Uint8Array, listener: Listener): void {
  try {
    for (const message of messagesOf(datagram)) listener.onMessage(message);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    listener.onLoss();
  }
}
