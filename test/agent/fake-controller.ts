// A controller that sends a real agent the messages of a test, valid or not.
import { hash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { AgentMessage, Hello, TableName } from '../../src/protocol/messages.ts';
import type { Node } from '../kernel/node.ts';
import type { Namespace } from '../namespaces.ts';

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** One connection of the agent. */
export class Stream {
  readonly hello: Hello;
  readonly heard: AgentMessage[] = [];
  /** The acknowledgements of rules, and when each came. */
  readonly acks: { readonly seq: number; readonly atMs: number }[] = [];
  readonly closed: Promise<Closed>;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, hello: Hello) {
    this.#socket = socket;
    this.hello = hello;
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as AgentMessage;
      this.heard.push(message);
      if (message.type === 'ack' && message.table === 'rules')
        this.acks.push({ seq: message.seq, atMs: performance.now() });
    });
    this.closed = new Promise((resolve) =>
      socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
    );
  }

  /** Sends a text frame; an object is sent as JSON. */
  say(frame: object | string): void {
    this.#socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  binary(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  /** Writes bytes to the connection without a WebSocket frame. */
  raw(...bytes: readonly number[]): void {
    (this.#socket as unknown as { _socket: Socket })._socket.write(Uint8Array.from(bytes));
  }

  welcome(more: object = {}): void {
    const { cluster, generation } = this.hello;
    this.say({ type: 'welcome', version: '0.0.0', features: [], cluster, generation, ruling: true, ...more });
  }

  /** Says that a table is equal to the one of the hello. */
  synced(table: TableName, more: object = {}): void {
    const { count, digests } = this.hello[table];
    this.say({ type: 'synced', table, seq: 7, count, digest: digestOf(digests), ...more });
  }

  /** Sends what a controller without changes sends. */
  begin(): void {
    this.welcome();
    this.synced('rules');
    this.synced('placements');
  }
}

/** The digest of a table with these buckets; all others are empty. */
export function digestOf(digests: Hello['rules']['digests']): string {
  const buckets = Array.from({ length: 256 }, (_, bucket) => digests[bucket] ?? '0'.repeat(16));
  return hash('sha256', buckets.join('')).slice(0, 16);
}

/** Listens in place of a node's controller; each connection that says hello goes to `onHello`. */
export class FakeController implements Disposable {
  onHello: (stream: Stream) => void = () => undefined;
  onPong: () => void = () => undefined;
  subprotocol = 'vipward.v1';
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.on('pong', () => this.onPong());
      socket.once('message', (data) => this.onHello(new Stream(socket, JSON.parse(String(data)) as Hello)));
      const timer = setInterval(() => socket.send('{"type":"tick"}'), 1000);
      socket.once('close', () => clearInterval(timer));
    });
  }

  private static async listen(where: Namespace, port: number): Promise<FakeController> {
    return await where.stay(async () => {
      const handleProtocols = (): string => controller.subprotocol;
      const server = new WebSocketServer({ host: '127.0.0.1', port, handleProtocols });
      const controller = new FakeController(server);
      await once(server, 'listening');
      return controller;
    });
  }

  /** Pings every connected agent. */
  ping(): void {
    for (const client of this.#server.clients) client.ping();
  }

  /** Ends a node's real controller and takes its place. */
  static async instead(node: Node): Promise<FakeController> {
    await node.killController('SIGTERM');
    return FakeController.listen(node.node, 9470);
  }

  /** The next connection of the agent, once it has said hello. */
  next(): Promise<Stream> {
    return new Promise((resolve) => {
      this.onHello = (stream) => {
        this.onHello = () => undefined;
        resolve(stream);
      };
    });
  }

  [Symbol.dispose](): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }
}
