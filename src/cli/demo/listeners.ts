// Listeners on the node and on the backend that answer a probe with their name.

import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { loadNative } from '../../host/native.ts';
import { familyOf } from '../../state/address.ts';
import type { Endpoint } from './plan.ts';
import { answerSctp } from './sctp.ts';

/**
 * Listeners that stay until the process ends. Each is bound to one address, so that a UDP answer comes from
 * the address that was asked; a wildcard socket would not ensure that.
 */
export class Listeners {
  readonly #name: string;
  readonly #open = new Set<string>();

  constructor(name: string) {
    this.#name = name;
  }

  /** Opens the missing listeners. Rejects with the error of a failed bind. */
  async ensure(endpoints: readonly Endpoint[]): Promise<void> {
    for (const endpoint of endpoints) {
      // A raw socket receives packets for every port of its address.
      const { protocol, address } = endpoint;
      const key = protocol === 'SCTP' ? `${address} SCTP` : JSON.stringify(endpoint);
      if (this.#open.has(key)) continue;
      if (protocol === 'SCTP') answerSctp(loadNative(), address, this.#name);
      else await (protocol === 'TCP' ? this.#tcp(endpoint) : this.#udp(endpoint));
      this.#open.add(key);
    }
  }

  #tcp({ address, port }: Endpoint): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(this.#name);
    });
    server.once('error', reject);
    server.listen({ port, host: address }, resolve);
    // A listener alone must not keep its process running.
    server.unref();
    return promise;
  }

  #udp({ address, port }: Endpoint): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = createSocket(familyOf(address) === 4 ? 'udp4' : 'udp6');
    socket.once('error', reject);
    socket.on('message', (_, from) => socket.send(this.#name, from.port, from.address, () => undefined));
    socket.bind({ port, address }, resolve);
    socket.unref();
    return promise;
  }
}
