// Packets of tests: connections and datagrams from a namespace, listeners in one, and raw packets.
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { connect, createServer, type Socket, type TcpNetConnectOpts } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { loadNative } from '../../src/host/native.ts';
import { addressBytes, parseAddress } from '../../src/state/address.ts';
import type { Namespace } from '../namespaces.ts';
import { patient } from '../patience.ts';

/** `closed`: no answer at all. `refused`: the packet passed, and nothing listened. */
export type Probe = 'open' | 'closed' | 'refused';

/** The protocol of packets that are sent with their header. */
export const IPPROTO_RAW = 255;

/** Far beyond what an answer takes between two namespaces. */
const patienceMs = patient(400);
const connectWithinMs = patient(30_000);
const answerWithinMs = patient(30_000);
let last: Promise<unknown> = Promise.resolve();

/** The whole thread moves, so that one stay begins when the one before it has ended. */
export function stay<T>(namespace: Namespace, body: () => Promise<T>): Promise<T> {
  const mine = last.then(() => namespace.stay(body));
  last = mine.catch(() => {});
  return mine;
}

/** A connection from the namespace to a literal address, once it is up. Rejects if it does not come up. */
export async function connectIn(from: Namespace, to: TcpNetConnectOpts): Promise<Socket> {
  const { socket, isUp } = await stay(from, async () => {
    const made = connect(to);
    // At once: the connection may be up before this turn ends.
    const up = once(made, 'connect', { signal: AbortSignal.timeout(connectWithinMs) });
    up.catch(() => made.destroy());
    made.on('error', () => {});
    // The descriptor is made at the end of this turn.
    await turn();
    return { socket: made, isUp: up };
  });
  await isUp;
  return socket;
}

/** What a server in the namespace answers, read as JSON. */
export async function getJson(from: Namespace, url: string): Promise<unknown> {
  return JSON.parse(await getText(from, url));
}

export async function getText(from: Namespace, url: string): Promise<string> {
  const { answer } = await stay(from, async () => {
    const asked = get(url, { agent: false, signal: AbortSignal.timeout(answerWithinMs) });
    const made = once(asked, 'response') as Promise<[IncomingMessage]>;
    made.catch(() => {});
    await turn();
    return { answer: made };
  });
  const [response] = await answer;
  return text(response);
}

/** What a packet to this place meets. */
export function probe(from: Namespace, protocol: 'tcp' | 'udp', to: TcpNetConnectOpts): Promise<Probe> {
  return protocol === 'tcp' ? probeTcp(from, to) : probeUdp(from, to);
}

async function probeTcp(from: Namespace, options: TcpNetConnectOpts): Promise<Probe> {
  const { promise, resolve } = Promise.withResolvers<Probe>();
  const socket = await stay(from, async () => {
    const made = connect(options);
    made.once('connect', () => resolve('open'));
    made.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ECONNREFUSED' ? 'refused' : 'closed'),
    );
    await turn();
    return made;
  });
  const result = await Promise.race([promise, silence()]);
  socket.on('error', () => {});
  socket.destroy();
  return result;
}

async function probeUdp(from: Namespace, to: TcpNetConnectOpts): Promise<Probe> {
  const { host = '', port, localAddress = host.includes(':') ? '::' : '0.0.0.0', localPort = 0 } = to;
  const socket = await bound(from, localAddress, localPort);
  const answered = once(socket, 'message').then((): Probe => 'open');
  answered.catch(() => {});
  socket.send('probe', port, host);
  const result = await Promise.race([answered, silence()]);
  socket.close();
  return result;
}

/** Whether what is sent on a connection comes back. */
export async function echoes(socket: Socket, words: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<Probe>();
  let came = '';
  const onData = (part: Buffer): void => {
    came += `${part}`;
    if (came.includes(words)) resolve('open');
  };
  socket.on('data', onData);
  socket.write(words);
  const result = await Promise.race([promise, silence()]);
  socket.off('data', onData);
  return result === 'open';
}

/**
 * Resolves when an answer would long be there, and then looks once more: this thread may itself have been
 * late.
 */
async function silence(): Promise<Probe> {
  await new Promise((resolve) => setTimeout(resolve, patienceMs));
  for (let turns = 0; turns < 3; turns++) await turn();
  return 'closed';
}

/** A listener that answers with what it is sent. The result closes it and its connections. */
export async function listenIn(
  where: Namespace,
  protocol: 'tcp' | 'udp',
  port: number,
  host: string,
): Promise<() => void> {
  if (protocol === 'udp') {
    const socket = await bound(where, host, port);
    socket.on('message', (data, { port: to, address }) => socket.send(data, to, address));
    return () => socket.close();
  }
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await stay(where, async () => {
    server.listen(port, host);
    await once(server, 'listening');
  });
  return () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
}

/** A socket for datagrams, on a local address. */
export function bound(where: Namespace, host: string, port: number): Promise<Datagrams> {
  return stay(where, async () => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.bind(port, host);
    await once(socket, 'listening');
    return socket;
  });
}

/** Sends the payload of a packet of any protocol; the kernel writes the header of IP. */
export function sendRaw(from: Namespace, protocol: number, to: string, bytes: Uint8Array): void {
  const native = loadNative();
  const address = addressBytes(parseAddress(to));
  const family = address.length === 4 ? 2 : 10;
  const where = new Uint8Array(family === 2 ? 16 : 28);
  new DataView(where.buffer).setUint16(0, family, true);
  where.set(address, family === 2 ? 4 : 8);
  const fd = from.run(() => native.socket(family, 3, protocol));
  const sent = native.send(fd, bytes, 0, where);
  native.close(fd);
  if (sent !== bytes.length) throw new Error(`raw packet to ${to}: ${fd} ${sent}`);
}

/**
 * A packet with its header, to be sent with IPPROTO_RAW (255); the kernel writes the checksum of a header of
 * IPv4.
 */
export function packetOf(from: string, to: string, protocol: number, payload: Uint8Array): Uint8Array {
  const [source, destination] = [addressBytes(parseAddress(from)), addressBytes(parseAddress(to))];
  const start =
    source.length === 4
      ? [0x45, 0, 0, 20 + payload.length, 0, 1, 0, 0, 64, protocol, 0, 0]
      : [0x60, 0, 0, 0, 0, payload.length, protocol, 64];
  return Uint8Array.of(...start, ...source, ...destination, ...payload);
}

/** A datagram, or the first packet of a connection, as of any source; to be sent with IPPROTO_RAW. */
export function forged(
  from: string,
  to: string,
  port: number,
  { toPort = 4022, protocol = 'udp' }: { toPort?: number; protocol?: 'tcp' | 'udp' } = {},
): Uint8Array {
  const ends = [from, to].flatMap((end) => [...addressBytes(parseAddress(end))]);
  const number = protocol === 'udp' ? 17 : 6;
  const segment = new Uint8Array(protocol === 'udp' ? 12 : 20);
  const view = new DataView(segment.buffer);
  for (const [index, word] of [port, toPort].entries()) view.setUint16(index * 2, word);
  if (protocol === 'udp') view.setUint16(4, segment.length);
  // Five words of header, and SYN.
  else view.setUint16(12, 0x5002);
  let sum = segment.length + number;
  for (const [place, byte] of [...ends, ...segment].entries()) sum += place % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  view.setUint16(protocol === 'udp' ? 6 : 16, ~sum & 0xffff);
  return packetOf(from, to, number, segment);
}
