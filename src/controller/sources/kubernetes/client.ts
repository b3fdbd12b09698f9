// Sends requests to the API server over node:https. Handles connections, credentials and errors, and knows no
// resource.

import type { ClientRequest, Agent as HttpAgent, IncomingMessage } from 'node:http';
import { Agent, request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import { nodeHttp } from '../../../process/node-http.ts';
import type { Mapping } from '../fields.ts';
import { retryAfterMs } from './backoff.ts';
import type { Credentials, Identity } from './credentials.ts';
import type { ClusterAccess } from './kubeconfig.ts';

/** The API server refused a request. `code` is the HTTP status. */
export class ApiError extends Error {
  readonly code: number;
  /** How long the server wants no further request, or null. */
  readonly retryAfterMs: number | null;
  readonly #causes: readonly unknown[];

  /** `causes` are the reasons of the causes that the server names. */
  constructor(code: number, message: string, retryAfter: number | null, causes: readonly unknown[] = []) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfter;
    this.#causes = causes;
  }

  /** True if the object is gone, or if its namespace is being deleted and takes no new objects. */
  get isNeedless(): boolean {
    return this.code === 404 || this.#causes.includes('NamespaceTerminating');
  }

  /** False for 401 and 429, which would meet any other request too. */
  get isOfRequest(): boolean {
    return this.code !== 401 && this.code !== 429;
  }
}

/** True if the API server refused a request with this HTTP status. */
export function hasCode(error: unknown, code: number): error is ApiError {
  return error instanceof ApiError && error.code === code;
}

/** An answer was too long to be read to its end. */
export class AnswerTooLongError extends Error {
  readonly code = 'AnswerTooLong';
}

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query. */
  readonly path: string;
  readonly body?: object;
  /** Media type of the body; the usual one is a merge patch for PATCH, an object for other methods. */
  readonly contentType?: string;
  /** Media type of the answer, if it is no API object. */
  readonly accept?: string;
  readonly signal: AbortSignal;
  /** The answer must begin within this time, and may pause no longer than this. */
  readonly timeoutMs?: number;
}

/** A server that accepts no connection within this time counts as absent. */
const connectTimeoutMs = 3000;
/** Priority and fairness may hold a request for a while before it is answered. */
const answerTimeoutMs = 30_000;
/** A vanished peer is detected after this time and ten probes of a second each. */
const keepAliveMs = 10_000;
/** The largest answer that is read: it is parsed in one go; an object may have 10 MiB with escapes. */
const bodyLimitBytes = 32 * 1024 * 1024;

export class ApiClient implements Disposable {
  readonly #access: ClusterAccess;
  readonly #credentials: Credentials;
  readonly #userAgent: string;
  #agent: HttpAgent | undefined;
  /** The material that `#agent` was made with: new material needs new connections. */
  #madeWith: Pick<Identity, 'ca' | 'cert' | 'key'> | undefined;

  constructor(access: ClusterAccess, credentials: Credentials, userAgent: string) {
    this.#access = access;
    this.#credentials = credentials;
    this.#userAgent = userAgent;
  }

  get server(): string {
    return this.#access.server.href;
  }

  /** Sends a request and resolves to the answer as JSON. Rejects with ApiError, or the connection's error. */
  async json(request: ApiRequest): Promise<unknown> {
    const response = await this.open(request);
    return JSON.parse(await readWhole(response, request.timeoutMs));
  }

  /** Sends a request and resolves to the answer, whose body the caller reads. */
  async open({
    method = 'GET',
    path,
    body,
    contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    accept = 'application/json',
    signal,
    timeoutMs,
  }: ApiRequest): Promise<IncomingMessage> {
    const identity = await this.#credentials.current();
    const { server } = this.#access;
    const payload = body === undefined ? null : JSON.stringify(body);
    const sent = (server.protocol === 'https:' ? requestHttps : nodeHttp.request)(
      new URL(server.pathname.replace(/\/$/, '') + path, server),
      {
        method,
        signal,
        agent: this.#agentFor(identity),
        headers: { accept, ...this.#headers(identity, payload, contentType) },
      },
    );
    const response = await answerOf(sent, payload, timeoutMs ?? answerTimeoutMs);
    const { statusCode: status = 0, headers } = response;
    if (status >= 200 && status < 300) return response;
    if (status === 401) this.#credentials.refused();
    const { said, causes } = statusIn(await readWhole(response, timeoutMs).catch(() => ''));
    const message = `${method} ${path.split('?')[0]}: ${status} ${said || (response.statusMessage ?? '')}`;
    throw new ApiError(status, message, retryAfterMs(headers['retry-after'], Date.now()), causes);
  }

  [Symbol.dispose](): void {
    this.#agent?.destroy();
  }

  #headers({ authorization }: Identity, payload: string | null, contentType: string) {
    return {
      'user-agent': this.#userAgent,
      ...(authorization === null ? {} : { authorization }),
      ...(payload === null
        ? {}
        : { 'content-type': contentType, 'content-length': String(Buffer.byteLength(payload)) }),
    };
  }

  /** Returns an agent for the identity. Streams on the connections of an older agent go on until they end. */
  #agentFor({ ca, cert, key }: Identity): HttpAgent {
    const known = this.#madeWith;
    const isSame = known?.ca === ca && known?.cert === cert && known?.key === key;
    if (this.#agent !== undefined && isSame) return this.#agent;
    const { serverName, isVerified, server } = this.#access;
    const common = { keepAlive: true, keepAliveMsecs: keepAliveMs };
    this.#madeWith = { ca, cert, key };
    this.#agent =
      server.protocol === 'http:'
        ? new nodeHttp.Agent(common)
        : new Agent({
            ...common,
            ...(ca === null ? {} : { ca }),
            ...(cert === null || key === null ? {} : { cert, key }),
            ...(serverName === null ? {} : { servername: serverName }),
            rejectUnauthorized: isVerified,
          });
    return this.#agent;
  }
}

/** Resolves once the header of the answer has come. Connecting and answering have a time limit each. */
function answerOf(sent: ClientRequest, payload: string | null, timeoutMs: number): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const late = (what: string, ms: number) => {
    return setTimeout(() => sent.destroy(new Error(`${what} within ${ms} ms`)), ms);
  };
  const answer = late('no answer', timeoutMs);
  let connecting: NodeJS.Timeout | undefined;
  const done = () => {
    clearTimeout(answer);
    clearTimeout(connecting);
  };
  sent.on('socket', (socket: Socket) => {
    socket.setKeepAlive(true, keepAliveMs);
    if (!socket.connecting) return;
    connecting = late('no connection', connectTimeoutMs);
    socket.once('connect', () => clearTimeout(connecting));
  });
  sent.once('response', (response: IncomingMessage) => {
    done();
    resolve(response);
  });
  sent.once('error', (error) => {
    done();
    reject(error);
  });
  // Node emits nothing but this event for an answer that switches protocols.
  sent.once('close', () => {
    done();
    reject(new Error('the connection was closed without an answer'));
  });
  sent.end(payload ?? undefined);
  return promise;
}

/**
 * Reads by events: with many writes an iterator for each answer costs more than all else about it. Gives up
 * an answer that stops in the middle, since a proxy may keep the connection when its server is gone.
 */
function readWhole(response: IncomingMessage, silenceMs: number = answerTimeoutMs): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const parts: Buffer[] = [];
  let lengthBytes = 0;
  const onSilence = () => response.destroy(new Error(`the answer stopped for ${silenceMs} ms`));
  const timer = setTimeout(onSilence, silenceMs);
  response.on('data', (bytes: Buffer) => {
    timer.refresh();
    lengthBytes += bytes.length;
    parts.push(bytes);
    if (lengthBytes > bodyLimitBytes)
      response.destroy(new AnswerTooLongError(`an answer of over ${bodyLimitBytes} bytes`));
  });
  response.once('end', () => resolve(Buffer.concat(parts, lengthBytes).toString('utf8')));
  response.once('error', reject);
  response.once('close', () => {
    clearTimeout(timer);
    if (!response.complete) reject(new Error('the answer was cut short'));
  });
  return promise;
}

/** The message of a Status and the reasons of its causes, or the beginning of a proxy's text. */
function statusIn(text: string): { readonly said: string; readonly causes: readonly unknown[] } {
  try {
    const { message: said, details } = JSON.parse(text) as { message?: unknown; details?: Mapping };
    const causes = Array.isArray(details?.['causes']) ? details['causes'] : [];
    if (typeof said === 'string')
      return { said, causes: causes.map((cause: Mapping | null) => cause?.['reason']) };
  } catch {
    // Text that is not JSON is shown as it came.
  }
  return { said: text.slice(0, 200).trim(), causes: [] };
}
