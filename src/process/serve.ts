// A listener that is there before what it tells of: its routes may be others at any time.

import { type Route, routeListener, serverLimits } from './http.ts';
import { type ListenInput, listen } from './listen.ts';

export interface Served extends Disposable {
  /** From now on requests are answered by these. */
  show(routes: readonly Route[]): void;
}

export interface ServeInput extends Pick<ListenInput, 'flag' | 'at'> {
  readonly onError: (error: unknown) => void;
}

/**
 * More than are answered at once, so that a probe finds a place beside requests that wait for their answer.
 * Who asks nothing holds one for as long as serverLimits says.
 */
const connectionLimit = 128;

/** Listens, and answers 404 to everything until there are routes. Rejects with ListenError. */
export async function serve({ flag, at, onError }: ServeInput): Promise<Served> {
  // An import would load all that node:http lists, a second HTTP client among it: 3 MB resident.
  const { createServer } = process.getBuiltinModule('node:http');
  let listener = routeListener([], onError);
  const server = createServer(serverLimits, (request, response) => listener(request, response));
  server.maxConnections = connectionLimit;
  await listen(server, { flag, at });
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
