// The one server of a controller, with or without TLS: HTTP and the upgrade to the stream share its port.

import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { serverLimits } from '../process/http.ts';
import { watchFile } from '../process/watch.ts';
import { type ControllerConfig, readTls, type TlsFiles } from './config.ts';

/** Connections that may be open at once, HTTP clients and unfinished handshakes included. */
export const connectionLimit = 2000;

export interface ServerInput {
  readonly listener: RequestListener;
  readonly signal: AbortSignal;
  readonly onError: (error: Error) => void;
}

/** Makes the server; certificates are read again when their files change. Throws UsageError. */
export function makeServer({ tls }: ControllerConfig, { listener, signal, onError }: ServerInput): Server {
  const server =
    tls === undefined ? createServer(serverLimits, listener) : tlsServer(tls, { listener, signal, onError });
  server.maxConnections = connectionLimit;
  server.on('clientError', (_, socket) => socket.destroy());
  return server;
}

/** Resolves to the URL that is listened on. Rejects with the kernel's error. */
export async function listenOn(server: Server, { listen, tls }: ControllerConfig): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(listen.port, listen.host, resolve);
  await promise;
  server.off('error', reject);
  const { port } = server.address() as AddressInfo;
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return `${tls === undefined ? 'http' : 'https'}://${host}:${port}`;
}

function tlsServer(files: TlsFiles, { listener, signal, onError }: ServerInput): Server {
  // Clients without a certificate may still have a token: who is let in is decided a request at a time.
  const asks = {
    requestCert: files.clientCa !== undefined,
    rejectUnauthorized: false,
    handshakeTimeout: 5000,
  };
  const server = createTlsServer({ ...serverLimits, ...asks, ...readTls(files) }, listener);
  const reread = () => {
    try {
      server.setSecureContext(readTls(files));
    } catch (error) {
      onError(error as Error);
    }
  };
  for (const path of [files.cert, files.key, ...(files.clientCa === undefined ? [] : [files.clientCa])]) {
    watchFile({ path, onChange: reread, onError, signal });
  }
  return server as unknown as Server;
}
