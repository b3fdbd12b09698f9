// Makes a server listen; an error says what to do.

import type { Server } from 'node:net';
import type { HostPort } from './values.ts';

/** A server cannot listen at an address. Names the flag, the kernel's words and the remedy. */
export class ListenError extends Error {
  readonly code = 'CannotListen';
}

export interface ListenInput {
  /** Such as `--listen`. */
  readonly flag: string;
  readonly at: HostPort;
  /** How many connections the kernel queues for accept; 511 by default, as in node:net. */
  readonly backlog?: number;
}

/** Resolves once a server listens. Rejects with ListenError. */
export async function listen(server: Server, { flag, at, backlog }: ListenInput): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(at.port, at.host, backlog, resolve);
  await promise.catch((error: NodeJS.ErrnoException) => {
    throw new ListenError(`${flag} ${textOf(at)}: ${error.message}; ${remedyFor(error, at)}`, {
      cause: error,
    });
  });
  server.off('error', reject);
}

function textOf({ host = '', port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function remedyFor({ code }: NodeJS.ErrnoException, { port }: HostPort): string {
  switch (code) {
    case 'EADDRINUSE':
      return `end what listens there (ss -ltnp sport = :${port} names it), or give another address or port`;
    case 'EADDRNOTAVAIL':
      return 'give an address of this host';
    case 'EAFNOSUPPORT':
      return `this kernel has no IPv6: give an IPv4 address, or :${port} for all addresses`;
    case 'EACCES':
      return 'give a port above 1023, or CAP_NET_BIND_SERVICE';
    default:
      return 'give HOST:PORT of this host';
  }
}
