// Between a controller and a real API server: hands requests on, unless a test wants something to go wrong.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Agent, request } from 'node:https';
import { stay } from '../kernel/traffic.ts';
import type { Cluster } from './cluster.ts';
import type { Place } from './relay.ts';

/** What happens to a request in place of its answer. */
export type Fault =
  | { readonly kind: 'reset' }
  | { readonly kind: 'answer'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** The answer, but the connection is cut in the middle of it. */
  | { readonly kind: 'cut'; readonly afterBytes: number };

export const reset: Fault = { kind: 'reset' };

export function answer(status: number, headers: Readonly<Record<string, string>> = {}): Fault {
  return { kind: 'answer', status, headers };
}

export interface Asked {
  readonly method: string;
  /** With its query. */
  readonly path: string;
}

export class FaultProxy implements Disposable {
  /** Called for each request; null forwards it. */
  fault: (asked: Asked) => Fault | null = () => null;
  /** If true, the rest of an answer is dropped, as on a connection that is lost without a sign. */
  mutes: (asked: Asked) => boolean = () => false;
  /** The path that is requested in place of the given one. */
  rewrite: (path: string) => string = (path) => path;
  /** The beginnings of all pieces that were answered. */
  said = '';
  readonly #server: Server;
  #agent: Agent;
  #cluster: Cluster;
  /** The authorization of all requests; null keeps that of the sender. */
  #authorization: string | null = null;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#agent = cluster.newAgent();
    this.#server = createServer((incoming, answer) => this.#handle(incoming, answer));
    this.#server.keepAliveTimeout = 0;
  }

  static async open(at: Place, cluster: Cluster): Promise<FaultProxy> {
    const proxy = new FaultProxy(cluster);
    await stay(at.where, async () => {
      proxy.#server.listen(at.port, at.host);
      await once(proxy.#server, 'listening');
    });
    return proxy;
  }

  /**
   * Leads to another cluster from now on, with this token for all requests; null keeps that of the sender.
   */
  leadTo(cluster: Cluster, token: string | null): void {
    this.reset();
    this.#agent.destroy();
    this.#cluster = cluster;
    this.#agent = cluster.newAgent();
    this.#authorization = token === null ? null : `Bearer ${token}`;
  }

  /** Ends everything that is under way, streams above all. */
  reset(): void {
    this.#server.closeAllConnections();
  }

  [Symbol.dispose](): void {
    this.reset();
    this.#server.close();
    this.#agent.destroy();
  }

  #handle(incoming: IncomingMessage, answer: ServerResponse): void {
    const asked = { method: incoming.method ?? '', path: incoming.url ?? '' };
    const fault = this.fault(asked);
    if (fault?.kind === 'reset') answer.socket?.resetAndDestroy();
    else if (fault?.kind === 'answer') {
      const { status: code, headers = {} } = fault;
      answer.writeHead(code, { 'content-type': 'application/json', ...headers });
      answer.end(JSON.stringify({ kind: 'Status', code, message: `made to say ${code}` }));
    } else this.#forward(incoming, answer, fault?.afterBytes ?? Number.POSITIVE_INFINITY);
  }

  #forward(incoming: IncomingMessage, answer: ServerResponse, mostBytes: number): void {
    const { method } = incoming;
    const authorization = this.#authorization ?? incoming.headers.authorization;
    const headers = { ...incoming.headers, ...(authorization && { authorization }) };
    const { host, port } = new URL(this.#cluster.url);
    const path = this.rewrite(incoming.url ?? '');
    const sent = request({ host: host.split(':')[0], port, method, path, headers, agent: this.#agent });
    const drop = (): void => void answer.socket?.resetAndDestroy();
    answer.once('close', () => sent.destroy());
    sent.once('error', drop);
    sent.once('response', (response: IncomingMessage) => {
      answer.writeHead(response.statusCode ?? 500, response.headers);
      answer.flushHeaders();
      let left = mostBytes;
      response.on('data', (part: Buffer) => {
        if (this.mutes({ method: method ?? '', path })) return;
        left -= part.length;
        this.said += part.toString('latin1', 0, 500);
        answer.write(left < 0 ? part.subarray(0, part.length + left) : part);
        if (left < 0) setTimeout(drop, 20);
      });
      response.once('end', () => answer.end());
      response.once('error', drop);
    });
    incoming.pipe(sent);
  }
}
