// The one server of a controller, with or without TLS: HTTP and the stream's upgrade share its port.

import type { RequestListener, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { serverLimits } from '../process/http.ts';
import { listen } from '../process/listen.ts';
import { nodeHttp } from '../process/node-http.ts';
import { watchFile } from '../process/watch.ts';
import type { Pair } from './certificate.ts';
import { type ControllerConfig, readTls, type TlsFiles } from './config.ts';

/** Connections open at once, HTTP clients and unfinished handshakes included. */
export const connectionLimit = 2000;

/** Connections open at once from one address, so that no client takes the whole limit. */
const sourceLimit = 1500;

const handshake = { handshakeTimeout: 5000 };

export interface ServerInput {
  readonly listener: RequestListener;
  readonly signal: AbortSignal;
  /** New certificate files cannot be used: the former ones stay in force. */
  readonly onError: (error: Error) => void;
  /** New certificate files are in force. */
  readonly onRead: () => void;
  /** The certificate that a cluster keeps, or null. */
  readonly certificate: ChangingPair | null;
}

/** A certificate and its key. `onChange` gets the next pair, and throws if it cannot be used. */
export interface ChangingPair {
  readonly pair: Pair;
  onChange: (pair: Pair) => void;
}

/** Makes the server, which reads certificate files again when they change. Throws UsageError. */
export function makeServer({ tls }: ControllerConfig, input: ServerInput): Server {
  const server = serverFor(tls, input);
  server.maxConnections = connectionLimit;
  boundSources(server, sourceLimit);
  return server;
}

/** Closes a new connection of an address that has `most` open. */
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
  if (certificate === null) return nodeHttp.createServer(serverLimits, listener);
  const server = createTlsServer({ ...serverLimits, ...handshake, ...certificate.pair }, listener);
  certificate.onChange = (pair) => server.setSecureContext(pair);
  return server as unknown as Server;
}

/** Resolves to the URL of the server. Rejects with ListenError. */
export async function listenOn(
  server: Server,
  { listen: at, tls, keepsCertificate }: ControllerConfig,
): Promise<string> {
  // All agents connect at once after a start. If the kernel's accept queue is full, a client repeats its SYN
  // after one second, then after three.
  await listen(server, { flag: '--listen', at, backlog: connectionLimit });
  const { port, address } = server.address() as AddressInfo;
  const { host = address } = at;
  const isPlain = tls === undefined && !keepsCertificate;
  return `${isPlain ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function tlsServer(files: TlsFiles, { listener, signal, onRead, onError }: ServerInput): Server {
  // A client without a certificate may have a token: each request is checked instead.
  const asks = { requestCert: files.clientCa !== undefined, rejectUnauthorized: false, ...handshake };
  // What was found last; null if it cannot be used. Of files that change together each causes a reading.
  let found: ReturnType<typeof readTls> | null = readTls(files);
  const server = createTlsServer({ ...serverLimits, ...asks, ...found }, listener);
  const reread = () => {
    try {
      const next = readTls(files);
      if (isDeepStrictEqual(next, found)) return;
      server.setSecureContext(next);
      found = next;
      onRead();
    } catch (error) {
      found = null;
      onError(error as Error);
    }
  };
  for (const path of [files.cert, files.key, ...(files.clientCa === undefined ? [] : [files.clientCa])]) {
    watchFile({ path, onChange: reread, onError, signal });
  }
  return server as unknown as Server;
}
