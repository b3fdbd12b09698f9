// Finds the process that listens on an abstract Unix socket. The kernel tells it, not the peer.

import { Errno } from '../netlink/message.ts';
import type { Native } from './native.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

/** struct ucred of the listening process; pid 0 if its PID namespace is not visible from here. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
}

/**
 * The listener of a name, which is given without its leading zero byte. Undefined if nobody listens; 'busy'
 * if the listener's backlog is full, so that the kernel does not tell it.
 */
export function listenerOf(native: Native, name: string): Peer | 'busy' | undefined {
  const fd = native.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) return undefined;
  try {
    const result = native.connect(fd, abstractAddress(name));
    if (result === -Errno.EAGAIN) return 'busy';
    if (result < 0) return undefined;
    const credentials = new Uint8Array(12);
    if (native.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials) !== credentials.length) return undefined;
    const words = new Uint32Array(credentials.buffer);
    return { pid: words[0] ?? 0, uid: words[1] ?? 0 };
  } finally {
    native.close(fd);
  }
}

/** struct sockaddr_un: the family, then a zero byte and the name. */
function abstractAddress(name: string): Uint8Array {
  const text = new TextEncoder().encode(`\0${name}`);
  const address = new Uint8Array(2 + text.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(text, 2);
  return address;
}
