// Associations of the kernel's SCTP (lksctp, one-to-one style): Node has no sockets for it, but serves any
// stream that it is given.

import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadNative } from '../../src/host/native.ts';
import { addressBytes, parseAddress } from '../../src/state/address.ts';
import type { Namespace } from '../namespaces.ts';
import { patient } from '../patience.ts';
import { stay } from './traffic.ts';

const [ipv4, ipv6, stream, nonBlocking, protocol] = [2, 10, 1, 0o4000, 132];
const inProgress = -115;
const patienceMs = patient(400);

/** Why there is no SCTP here, or false. */
export function lacksSctp(): string | false {
  const fd = loadNative().socket(ipv4, stream, protocol);
  if (fd >= 0) loadNative().close(fd);
  return fd < 0 && 'this kernel has no SCTP: traffic-ports.test.ts sends it packets without a stack';
}

/** A listener that answers with what it is sent, on one address only. The result closes it. */
export async function serveSctp(where: Namespace, host: string, port: number): Promise<() => void> {
  const fd = where.run(() => socketFor(host));
  check('bind', loadNative().bind(fd, sockaddr(host, port)));
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await stay(where, () => new Promise<void>((resolve) => server.listen({ fd }, resolve)));
  return () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
}

/** An association that is up, is coming up, or never will be. */
export class Association implements Disposable {
  readonly #fd: number;

  constructor(from: Namespace, host: string, port: number) {
    this.#fd = from.run(() => socketFor(host));
    const status = loadNative().connect(this.#fd, sockaddr(host, port));
    if (status !== inProgress) check('connect', status);
  }

  /** Whether what is sent comes back. */
  async echoes(words: string): Promise<boolean> {
    const native = loadNative();
    const answer = new Uint8Array(words.length);
    const lastMs = performance.now() + patienceMs;
    let sent = -1;
    while (performance.now() < lastMs) {
      // Refused for as long as the association is coming up.
      if (sent < 0) sent = native.send(this.#fd, Buffer.from(words), 0);
      await sleep(5);
      const length = native.receive(this.#fd, answer, 0);
      if (length > 0) return Buffer.from(answer).toString() === words;
    }
    return false;
  }

  [Symbol.dispose](): void {
    loadNative().close(this.#fd);
  }
}

function socketFor(host: string): number {
  return check('socket', loadNative().socket(familyOf(host), stream | nonBlocking, protocol));
}

/** struct sockaddr_in or sockaddr_in6. */
function sockaddr(host: string, port: number): Uint8Array {
  const family = familyOf(host);
  const bytes = new Uint8Array(family === ipv4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  bytes.set(addressBytes(parseAddress(host)), family === ipv4 ? 4 : 8);
  return bytes;
}

function familyOf(host: string): number {
  return host.includes(':') ? ipv6 : ipv4;
}

function check(call: string, status: number): number {
  if (status < 0) throw new Error(`${call} of SCTP: ${status}`);
  return status;
}
