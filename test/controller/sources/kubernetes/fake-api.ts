// A fake API server with one resource, which can be made to fail: lists in pages, watches, 410, 429, resets,
// pages that end in the middle. The real one is in test/kubernetes.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeObject {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion: string };
  readonly data?: string;
}

/** The fields of an object beside its name, such as those of a Node or a slice. */
export interface MoreFields {
  readonly labels?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** What happens to a request: it goes on, or it is done. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => 'go on' | 'done';

interface Watch {
  readonly response: ServerResponse;
}

export class FakeApi implements AsyncDisposable {
  readonly objects: Map<string, FakeObject> = new Map();
  /** The path and query of each request, in order. */
  readonly requests: string[] = [];
  /** How many lists were answered to their end. */
  lists = 0;
  readonly authorizations: (string | undefined)[] = [];
  fault: Fault = () => 'go on';
  readonly #server: Server = createServer((request, response) => this.#answer(request, response));
  readonly #watches = new Set<Watch>();
  readonly #history: { readonly version: number; readonly line: string }[] = [];
  #version = 100;
  #oldest = 0;

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get watches(): number {
    return this.#watches.size;
  }

  count(word: string): number {
    return this.requests.filter((url) => url.includes(word)).length;
  }

  set(name: string, data = '', { labels = {}, ...fields }: MoreFields = {}): void {
    const type = this.objects.has(name) ? 'MODIFIED' : 'ADDED';
    const metadata = { name, namespace: 'demo', labels, resourceVersion: String(++this.#version) };
    const object = { metadata, data, ...fields };
    this.objects.set(name, object);
    this.#tell(type, object);
  }

  remove(name: string): void {
    const object = this.objects.get(name);
    if (object === undefined) return;
    this.objects.delete(name);
    const metadata = { ...object.metadata, resourceVersion: String(++this.#version) };
    this.#tell('DELETED', { ...object, metadata });
  }

  /** Forgets earlier events: a watch from an older version gets 410, as after a compaction. */
  compact(): void {
    this.#oldest = this.#version;
  }

  /** Sends raw bytes on every stream. */
  say(bytes: string | Uint8Array): void {
    for (const { response } of this.#watches) response.write(bytes);
  }

  /** Cuts every stream: with its connection, or as the server ends it. */
  cut(how: 'reset' | 'end'): void {
    for (const { response } of this.#watches) {
      if (how === 'end') response.end();
      else response.socket?.resetAndDestroy();
    }
    this.#watches.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(request.url ?? '');
    this.authorizations.push(request.headers.authorization);
    if (this.fault(request, response) === 'done') return;
    const { searchParams: query } = new URL(request.url ?? '', this.url);
    if (query.get('watch') === 'true') this.#watch(response, Number(query.get('resourceVersion')));
    else this.#list(response, Number(query.get('limit')), query.get('continue'));
  }

  #list(response: ServerResponse, limit: number, from: string | null): void {
    const names = [...this.objects.keys()].sort();
    const start = from === null ? 0 : names.findIndex((name) => name >= from);
    const end = start < 0 ? names.length : start + limit;
    const items = start < 0 ? [] : names.slice(start, end).map((name) => this.objects.get(name));
    const metadata = { resourceVersion: String(this.#version), continue: names[end] ?? '' };
    if (end >= names.length) this.lists++;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ kind: 'ThingList', metadata, items }));
  }

  #watch(response: ServerResponse, from: number): void {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (from < this.#oldest) {
      const object = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    for (const { version, line } of this.#history) if (version > from) response.write(line);
    const watch = { response };
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
  }

  #tell(type: string, object: FakeObject): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    this.#history.push({ version: this.#version, line });
    for (const { response } of this.#watches) response.write(line);
  }
}

/** Answers a request with an error as the API server words it. */
export function refuse(response: ServerResponse, code: number, headers: Record<string, string> = {}): 'done' {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, message: `made to say ${code}` }));
  return 'done';
}
