// Opens, sizes and binds sockets for netlink and for link-layer frames. The caller hands calls that may block
// to the writer thread.

import { describeErrno } from '../netlink/ack.ts';
import {
  AF_NETLINK,
  Errno,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  SOCK_RAW,
  SOL_NETLINK,
} from '../netlink/message.ts';
import { u32 } from '../netlink/reader.ts';
import { type Native, Operation } from './native.ts';

/** A failed system call; `errno` is positive. */
export class SystemCallError extends Error {
  readonly code = 'SystemCall';
  readonly errno: number;
  readonly call: string;

  constructor(call: string, errno: number, remedy = '') {
    super(`${call}: ${describeErrno(errno)}${remedy}`);
    this.call = call;
    this.errno = errno;
  }
}

/** Returns a result >= 0. Throws SystemCallError for a negative errno. */
export function checked(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, -result);
  return result;
}

export interface NetlinkSocket {
  readonly fd: number;
  /** Our netlink port id, which tells our own changes from those of other processes. */
  readonly portId: number;
}

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_ALLMULTI = 2;

/** One batch of 5,000 elements is 200 kB; replacing a whole table can take megabytes. */
const sendBufferBytes = 64 * 1024 * 1024;
const receiveBufferBytes = 8 * 1024 * 1024;

/** Opens and binds a netlink socket of a protocol and joins the multicast groups. Throws SystemCallError. */
export function openNetlink(native: Native, protocol: number, groups: readonly number[] = []): NetlinkSocket {
  const fd = checked(`socket(AF_NETLINK, ${protocol})`, native.socket(AF_NETLINK, SOCK_RAW, protocol));
  try {
    return { fd, portId: setUp(native, fd, groups) };
  } catch (error) {
    native.close(fd);
    throw error;
  }
}

/** Sizes and binds the socket and joins the groups. Returns the port id that the kernel assigned. */
function setUp(native: Native, fd: number, groups: readonly number[]): number {
  for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK]) {
    native.setsockopt(fd, SOL_NETLINK, option, int32(1));
  }
  size(native, fd, { force: SO_SNDBUFFORCE, plain: SO_SNDBUF }, sendBufferBytes);
  size(native, fd, { force: SO_RCVBUFFORCE, plain: SO_RCVBUF }, receiveBufferBytes);
  // In a user namespace a socket that joins a group before it is bound receives nothing.
  const address = new Uint8Array(12);
  address[0] = AF_NETLINK;
  checked('bind(AF_NETLINK)', native.bind(fd, address));
  for (const group of groups) {
    checked(
      `join netlink group ${group}`,
      native.setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, int32(group)),
    );
  }
  checked('getsockname(AF_NETLINK)', native.getsockname(fd, address));
  return u32(address, 4);
}

const withoutRaw =
  ': no VIP can be announced without CAP_NET_RAW; run as root in the host network, ' +
  'in a container with capabilities.add: [NET_ADMIN, NET_RAW]';

/** Opens a socket that sends whole Ethernet frames and receives none. Throws SystemCallError. */
export function openPacket(native: Native): number {
  const fd = native.socket(AF_PACKET, SOCK_RAW, 0);
  if (fd === -Errno.EPERM) throw new SystemCallError('socket(AF_PACKET)', Errno.EPERM, withoutRaw);
  return checked('socket(AF_PACKET)', fd);
}

/** Which frames a socket receives. */
export interface Hearing {
  /** Their EtherType. */
  readonly protocol: number;
  /** A classic BPF program that passes the wanted frames. */
  readonly filter: Uint8Array;
}

/**
 * Opens a socket that receives the frames of one interface, and lets the interface receive all multicast
 * groups. Throws SystemCallError.
 */
export function openHearing(
  native: Native,
  { protocol, filter }: Hearing,
  { index, name }: { readonly index: number; readonly name: string },
): number {
  // Protocol 0: the socket receives nothing until it is bound to a protocol and the interface.
  const fd = checked('socket(AF_PACKET)', native.socket(AF_PACKET, SOCK_RAW, 0));
  try {
    checked('setsockopt(SO_ATTACH_FILTER)', native.attachFilter(fd, filter));
    checked(`bind(${name})`, native.bind(fd, linkAddress(index, protocol)));
  } catch (error) {
    closeLater(native, fd);
    throw error;
  }
  // A card may drop frames of groups that no local program has joined. This call may wait for rtnl.
  native.submit(Operation.setsockopt, fd, everyGroup(index), 0, 0, 0);
  return fd;
}

/**
 * Closes a socket on the writer thread. Closing a netlink socket may wait for the kernel as a commit does;
 * closing a packet socket waits for an RCU grace period.
 */
export function closeLater(native: Native, fd: number): void {
  native.submit(Operation.close, fd, new Uint8Array(0), 0, 0, 0);
}

/** struct sockaddr_ll of an interface and an EtherType. */
export function linkAddress(interfaceIndex: number, protocol: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol, false);
  view.setInt32(4, interfaceIndex, true);
  return address;
}

/** Without CAP_NET_ADMIN the plain option is capped at net.core.*mem_max. */
function size(
  native: Native,
  fd: number,
  { force, plain }: { force: number; plain: number },
  bytes: number,
): void {
  if (native.setsockopt(fd, SOL_SOCKET, force, int32(bytes)) >= 0) return;
  native.setsockopt(fd, SOL_SOCKET, plain, int32(bytes));
}

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

/** The level, the name and struct packet_mreq of PACKET_ADD_MEMBERSHIP, for all multicast. */
function everyGroup(interfaceIndex: number): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, SOL_PACKET, true);
  view.setInt32(4, PACKET_ADD_MEMBERSHIP, true);
  view.setInt32(8, interfaceIndex, true);
  view.setUint16(12, PACKET_MR_ALLMULTI, true);
  return bytes;
}
