// SCTP in the demo. Node.js has no SCTP, so raw sockets send and answer a bare INIT without a checksum: the
// filter looks at ports only, and no other program reads the packet.

import type { Native, Outcome } from '../../host/native.ts';
import { checked } from '../../host/socket.ts';
import { AF_INET, AF_INET6, SOCK_RAW } from '../../netlink/message.ts';
import { type Address, addressBytes, familyOf } from '../../state/address.ts';
import { hosts } from './plan.ts';

const IPPROTO_SCTP = 132;
const Chunk = { INIT: 1, INIT_ACK: 2 } as const;
/** The common header and the header of the first chunk (RFC 9260, 3). */
const headerBytes = 16;
/** The first of the dynamic ports that clients use (RFC 6335, 6). */
const firstDynamicPort = 49_152;

interface Frame {
  readonly from: number;
  readonly to: number;
  readonly chunk: number;
  readonly text: string;
}

/**
 * Answers every INIT to an address of the node with a name, until the process ends. Throws SystemCallError.
 */
export function answerSctp(native: Native, address: Address, name: string): void {
  const fd = openRaw(native, address);
  const client = socketAddress(clientOf(address));
  const onDatagram = (datagram: Outcome): void => {
    const frame = readFrame(datagram, address);
    if (frame?.chunk !== Chunk.INIT) return;
    const answer = bytesOf({ from: frame.to, to: frame.from, chunk: Chunk.INIT_ACK, text: name });
    native.send(fd, answer, 0, client);
  };
  checked('watch', native.watch(fd, onDatagram));
}

/**
 * Sends an INIT from the client. Resolves to the name in the answer, or to undefined after `timeoutMs`.
 * Rejects with SystemCallError.
 */
export async function probeSctp(
  native: Native,
  { address, port }: { readonly address: Address; readonly port: number },
  timeoutMs: number,
): Promise<string | undefined> {
  const own = firstDynamicPort + Math.floor(Math.random() * (65_536 - firstDynamicPort));
  const fd = openRaw(native, clientOf(address));
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const onDatagram = (datagram: Outcome): void => {
    const frame = readFrame(datagram, address);
    if (frame?.chunk === Chunk.INIT_ACK && frame.from === port && frame.to === own) resolve(frame.text);
  };
  checked('watch', native.watch(fd, onDatagram));
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  native.send(fd, bytesOf({ from: own, to: port, chunk: Chunk.INIT, text: '' }), 0, socketAddress(address));
  const name = await promise;
  clearTimeout(timer);
  native.unwatch(fd);
  native.close(fd);
  return name;
}

function clientOf(address: Address): Address {
  return hosts.client[familyOf(address) === 4 ? 0 : 1];
}

/** Throws SystemCallError. */
function openRaw(native: Native, address: Address): number {
  const family = familyOf(address) === 4 ? AF_INET : AF_INET6;
  const fd = checked('socket', native.socket(family, SOCK_RAW, IPPROTO_SCTP));
  checked('bind', native.bind(fd, socketAddress(address)));
  return fd;
}

/** struct sockaddr_in or sockaddr_in6, without a port. */
function socketAddress(address: Address): Uint8Array {
  const of4 = familyOf(address) === 4;
  const bytes = new Uint8Array(of4 ? 16 : 28);
  new DataView(bytes.buffer).setUint16(0, of4 ? AF_INET : AF_INET6, true);
  bytes.set(addressBytes(address), of4 ? 4 : 8);
  return bytes;
}

function bytesOf({ from, to, chunk, text }: Frame): Uint8Array {
  const words = new TextEncoder().encode(text);
  const bytes = new Uint8Array(headerBytes + words.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, from);
  view.setUint16(2, to);
  view.setUint8(12, chunk);
  view.setUint16(14, 4 + words.length);
  bytes.set(words, headerBytes);
  return bytes;
}

/** A raw IPv4 socket receives the IP header too; a raw IPv6 socket does not. */
function readFrame(datagram: Outcome, address: Address): Frame | undefined {
  if (typeof datagram === 'number') return undefined;
  const start = familyOf(address) === 4 ? ((datagram[0] ?? 0) & 0xf) * 4 : 0;
  if (datagram.length < start + headerBytes) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset + start, datagram.length - start);
  const end = start + headerBytes - 4 + view.getUint16(14);
  return {
    from: view.getUint16(0),
    to: view.getUint16(2),
    chunk: view.getUint8(12),
    text: new TextDecoder().decode(datagram.subarray(start + headerBytes, end)),
  };
}
