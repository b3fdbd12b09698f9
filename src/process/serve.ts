// An HTTP listener that opens before its routes exist; they can be replaced at any time.

import { type Route, routeListener, serverLimits } from './http.ts';
import { type ListenInput, listen } from './listen.ts';
import { nodeHttp } from './node-http.ts';

export interface Served extends Disposable {
  /** Answers requests by these routes from now on. */
  show(routes: readonly Route[]): void;
}

export interface ServeInput extends Pick<ListenInput, 'flag' | 'at'> {
  readonly onError: (error: unknown) => void;
}

/**
 * More than the requests answered at once, so that a probe can connect while others wait. serverLimits closes
 * idle connections.
 */
const connectionLimit = 128;

/** Listens, and answers 404 to everything until `show`. Rejects with ListenError. */
export async function serve({ flag, at, onError }: ServeInput): Promise<Served> {
  let listener = routeListener([], onError);
  const server = nodeHttp.createServer(serverLimits, (request, response) => listener(request, response));
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
