// The few kernel numbers and hand-made messages the addon's tests need: no codec of ours is under test here.
import type { Native } from '../../src/host/native.ts';

export const AF_INET = 2;
export const AF_NETLINK = 16;
export const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const RTMGRP_LINK = 1;
export const RTM_NEWLINK = 16;
export const NLMSG_DONE = 3;
const NETLINK_USERSOCK = 2;

export const EBADF = 9;
export const EAGAIN = 11;
export const EINVAL = 22;
export const ENOTSOCK = 88;
export const EMSGSIZE = 90;
export const ENOBUFS = 105;

export const NOTHING: Uint8Array = new Uint8Array(0);

/** A bound AF_NETLINK socket of the rtnetlink protocol. */
export function openRoute(native: Native, groups = 0): number {
  const fd = native.socket(AF_NETLINK, SOCK_RAW, 0);
  const bound = native.bind(fd, groupAddress(groups));
  if (fd < 0 || bound < 0) throw new Error(`rtnetlink socket: ${fd}, bind: ${bound}`);
  return fd;
}

/** struct sockaddr_nl of the kernel, and of the members of these groups. */
export function groupAddress(groups: number): Uint8Array {
  const address = new Uint8Array(12);
  address[0] = AF_NETLINK;
  new DataView(address.buffer).setUint32(8, groups, true);
  return address;
}

/** RTM_GETLINK with NLM_F_REQUEST | NLM_F_DUMP. */
export function linkDump(sequence: number): Uint8Array {
  return message(18, 0x301, sequence, new Uint8Array(16));
}

/** RTM_NEWLINK that sets or clears IFF_UP, asking for no acknowledgement. */
export function linkUp(index: number, up: boolean): Uint8Array {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, up ? 1 : 0, true);
  view.setUint32(12, 1, true);
  return message(RTM_NEWLINK, 1, 1, body);
}

/** The type and sequence of each netlink message in a run of them. */
export function headers(bytes: Uint8Array): { readonly type: number; readonly sequence: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: { type: number; sequence: number }[] = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    found.push({ type: view.getUint16(at + 4, true), sequence: view.getUint32(at + 8, true) });
    at += (view.getUint32(at, true) + 3) & ~3;
  }
  return found;
}

/** int32 level, int32 name, value: the shape of a submitted socket option. */
export function optionBytes(level: number, name: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + value.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, level, true);
  view.setInt32(4, name, true);
  bytes.set(value, 8);
  return bytes;
}

/** RTM_GETLINK of index 1, one reply. */
export function getLoopback(sequence: number): Uint8Array {
  const bytes = linkDump(sequence);
  const view = new DataView(bytes.buffer);
  view.setUint16(6, 1, true);
  view.setInt32(20, 1, true);
  return bytes;
}

/** A netlink socket of user space that has sent the datagrams to itself. */
export function openSelfSocket(native: Native, datagrams: readonly Uint8Array[] = []): number {
  const fd = native.socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
  native.bind(fd, groupAddress(0));
  for (const datagram of datagrams) sendToSelf(native, fd, datagram);
  return fd;
}

export function sendToSelf(native: Native, fd: number, datagram: Uint8Array): void {
  native.send(fd, datagram, 0, addressOf(native, fd));
}

/** The struct sockaddr_nl of a socket. */
export function addressOf(native: Native, fd: number): Uint8Array {
  const address = new Uint8Array(12);
  native.getsockname(fd, address);
  return address;
}

function message(type: number, flags: number, sequence: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(body, 16);
  return bytes;
}
