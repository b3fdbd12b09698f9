// A listener that is there before what it tells of: its routes may be others at any time.

import type { Server } from 'node:http';
import { type Route, routeListener, serverLimits } from './http.ts';
import type { HostPort } from './values.ts';

/** Nothing can be listened on at an address. Names the flag, the kernel's words and the remedy. */
export class ListenError extends Error {
  readonly code = 'CannotListen';
}

export interface Served extends Disposable {
  /** From now on requests are answered by these. */
  show(routes: readonly Route[]): void;
}

export interface ServeInput {
  /** Such as `--listen`. */
  readonly flag: string;
  readonly at: HostPort;
  readonly onError: (error: unknown) => void;
}

/** More than are answered at once, so that probes come through. */
const connectionLimit = 128;

/** Listens, and answers 404 to everything until there are routes. Rejects with ListenError. */
export async function serve({ flag, at, onError }: ServeInput): Promise<Served> {
  // An import would load all that node:http lists, a second HTTP client among it: 3 MB resident.
  const { createServer } = process.getBuiltinModule('node:http');
  let listener = routeListener([], onError);
  const server = createServer(serverLimits, (request, response) => listener(request, response));
  server.maxConnections = connectionLimit;
  await listening(server, at).catch((error: NodeJS.ErrnoException) => {
    throw new ListenError(`${flag} ${textOf(at)}: ${error.message}; ${remedyFor(error, at)}`, {
      cause: error,
    });
  });
  // Such as EMFILE at a new connection.
  server.on('error', onError);
  return {
    show(routes) {
      listener = routeListener(routes, onError);
    },
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function listening(server: Server, { host, port }: HostPort): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
  server.off('error', reject);
}

function textOf({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function remedyFor({ code }: NodeJS.ErrnoException, { port }: HostPort): string {
  switch (code) {
    case 'EADDRINUSE':
      return `end what listens there (ss -ltnp sport = :${port} names it), or give another address or port`;
    case 'EADDRNOTAVAIL':
      return 'give an address of this host';
    case 'EACCES':
      return 'give a port above 1023, or CAP_NET_BIND_SERVICE';
    default:
      return 'give HOST:PORT of this host';
  }
}
