// A controller that sends what a test tells it to, in a few lines.

import { hash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import type { AgentMessage } from '../../src/protocol/messages.ts';

export const sha = (text: string): string => hash('sha256', text);
const emptyDigest = sha('0'.repeat(16 * 256)).slice(0, 16);
const vip = (port: number) => ({
  address: '10.0.0.1',
  filtered: true,
  egress: false,
  ports: [{ protocol: 'TCP', port, service: 'a/b', delivery: 'host', sources: null }],
});

/** The fields of a welcome that a test chooses. */
interface Said {
  readonly generation: number;
  readonly ruling: boolean;
  readonly cluster: string;
}

/** A controller that sends what it is told to. */
export class Peer {
  readonly url: string;
  readonly heard: AgentMessage[] = [];
  readonly closed: { readonly code: number; readonly reason: string }[] = [];
  /** What the last agent offered to extend the framing by. */
  extensions: string | undefined;
  generation: number;
  ruling: boolean;
  cluster: string;
  readonly #server: WebSocketServer;
  #socket: WebSocket | undefined;

  private constructor(server: WebSocketServer, { generation, ruling, cluster }: Said) {
    this.#server = server;
    this.cluster = cluster;
    this.generation = generation;
    this.ruling = ruling;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket, { headers }) => {
      this.extensions = headers['sec-websocket-extensions'];
      this.#accept(socket);
    });
  }

  static async listen(
    t: TestContext,
    generation: number,
    ruling = true,
    { cluster = 'c', ...at }: { host: string; port: number; cluster?: string } = {
      host: '127.0.0.1',
      port: 0,
    },
  ): Promise<Peer> {
    const server = new WebSocketServer(at);
    await once(server, 'listening');
    const peer = new Peer(server, { generation, ruling, cluster });
    t.after(() => peer.end());
    return peer;
  }

  say(frame: object): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  /** Reads no more, and so answers no close frame. */
  fallDeaf(): void {
    this.#socket?.pause();
  }

  close(code: number, reason: string): void {
    this.#socket?.close(code, reason);
  }

  welcome(): void {
    const { cluster, generation, ruling } = this;
    this.say({ type: 'welcome', version: '0', features: [], cluster, generation, ruling });
  }

  /** Both tables whole: one VIP with this port. */
  state(port: number): void {
    this.stateOfRules(port);
    this.say({ type: 'synced', table: 'placements', seq: 0, count: 0, digest: emptyDigest });
  }

  stateOfRules(port: number): void {
    const text = JSON.stringify(vip(port));
    const bucket = Number.parseInt(sha('10.0.0.1').slice(0, 2), 16);
    const digests = Array.from({ length: 256 }, (_, at) =>
      at === bucket ? sha(text).slice(0, 16) : '0'.repeat(16),
    );
    const digest = sha(digests.join('')).slice(0, 16);
    this.say({ type: 'page', table: 'rules', buckets: [bucket], set: [vip(port)] });
    this.say({ type: 'synced', table: 'rules', seq: 9, count: 1, digest });
  }

  change(port: number, from: number): void {
    this.say({ type: 'delta', table: 'rules', from, to: from + 1, set: [vip(port)], remove: [] });
  }

  types(): string[] {
    return this.heard.map(({ type }) => type).filter((type) => type !== 'tick');
  }

  end(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }

  #accept(socket: WebSocket): void {
    this.#socket = socket;
    const ticker = setInterval(() => socket.send('{"type":"tick"}'), 500);
    socket.on('close', (code, reason) => {
      clearInterval(ticker);
      this.closed.push({ code, reason: String(reason) });
    });
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as AgentMessage;
      this.heard.push(message);
      if (message.type === 'hello') this.welcome();
    });
  }
}
