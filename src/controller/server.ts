// The one server of a controller, with or without TLS: HTTP and the upgrade to the stream share its port.

import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { serverLimits } from '../process/http.ts';
import { listen } from '../process/listen.ts';
import { watchFile } from '../process/watch.ts';
import type { Pair } from './certificate.ts';
import { type ControllerConfig, readTls, type TlsFiles } from './config.ts';

/** Connections that may be open at once, HTTP clients and unfinished handshakes included. */
export const connectionLimit = 2000;

/** Of these, from one address: whoever takes all that it may leaves others some. */
export const sourceLimit = 1500;

const handshake = { handshakeTimeout: 5000 };

export interface ServerInput {
  readonly listener: RequestListener;
  readonly signal: AbortSignal;
  readonly onError: (error: Error) => void;
  /** The one that a cluster keeps, or null. */
  readonly certificate: ChangingPair | null;
}

/** A certificate and its key, and whom to tell when there are others: it throws if they cannot be used. */
export interface ChangingPair {
  readonly pair: Pair;
  onChange: (pair: Pair) => void;
}

/** Makes the server; certificates are read again when their files change. Throws UsageError. */
export function makeServer({ tls }: ControllerConfig, input: ServerInput): Server {
  const server = serverFor(tls, input);
  server.maxConnections = connectionLimit;
  boundSources(server, sourceLimit);
  server.on('clientError', (_, socket) => socket.destroy());
  return server;
}

/** Cuts connections of an address that has as many as it may. */
export function boundSources(server: Server, most: number): void {
  const counts = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const { remoteAddress: source } = socket;
    if (source === undefined) return;
    const count = counts.get(source) ?? 0;
    if (count >= most) {
      socket.destroy();
      return;
    }
    counts.set(source, count + 1);
    socket.once('close', () => {
      const left = (counts.get(source) ?? 1) - 1;
      if (left === 0) counts.delete(source);
      else counts.set(source, left);
    });
  });
}

function serverFor(tls: TlsFiles | undefined, input: ServerInput): Server {
  if (tls !== undefined) return tlsServer(tls, input);
  const { certificate, listener } = input;
  if (certificate === null) return createServer(serverLimits, listener);
  const server = createTlsServer({ ...serverLimits, ...handshake, ...certificate.pair }, listener);
  certificate.onChange = (pair) => server.setSecureContext(pair);
  return server as unknown as Server;
}

/** Resolves to the URL that is listened on. Rejects with ListenError. */
export async function listenOn(
  server: Server,
  { listen: at, tls, keepsCertificate }: ControllerConfig,
): Promise<string> {
  // All agents come at once after a start. Whom the kernel has no place for in its queue asks again a second
  // later, then three.
  await listen(server, { flag: '--listen', at, backlog: connectionLimit });
  const { port, address } = server.address() as AddressInfo;
  const { host = address } = at;
  const isPlain = tls === undefined && !keepsCertificate;
  return `${isPlain ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function tlsServer(files: TlsFiles, { listener, signal, onError }: ServerInput): Server {
  // Clients without a certificate may still have a token: who is let in is decided a request at a time.
  const asks = { requestCert: files.clientCa !== undefined, rejectUnauthorized: false, ...handshake };
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
