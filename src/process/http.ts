// A small JSON server for status, health and metrics: routes as a table, errors as values, slow clients cut
// off.

import type { IncomingMessage, RequestListener, ServerOptions, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { InFlight } from './in-flight.ts';

/** What a handler answers: a value that becomes JSON, or text of a type. */
export interface Reply {
  readonly status: number;
  /** Text that is long may come in pieces, each made when the one before it is on its way. */
  readonly body: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RouteRequest {
  readonly url: URL;
  readonly message: IncomingMessage;
  /** Parsed JSON of a POST, undefined if there was none. */
  readonly body: unknown;
  /** Aborted when the client goes away before its answer. */
  readonly signal: AbortSignal;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** A refusal, or null: asked before the body is read. */
  readonly authorize?: (message: IncomingMessage) => Reply | null;
  /** Answered however many others are asked: a few bytes, by which a kubelet decides who lives. */
  readonly isProbe?: true;
  readonly handle: (request: RouteRequest) => Reply | Promise<Reply>;
}

/** What an error answer says: a stable code, what is wrong, and what to do next. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly next: string;
  /** Where nothing is served at a path: the paths that are. */
  readonly paths?: readonly string[];
}

export const bodyLimitBytes: number = 64 * 1024;

/** Options of node:http that bound what a client which never finishes can hold. */
export const serverLimits: Pick<
  ServerOptions,
  'headersTimeout' | 'requestTimeout' | 'keepAliveTimeout' | 'connectionsCheckingInterval' | 'maxHeaderSize'
> = {
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16 * 1024,
};

/** What a server bears of clients that ask for much, or do not read what they asked for. */
export interface AnswerLimits {
  /** Requests that are answered at once. */
  readonly atOnce: number;
  /** How long a client may take nothing of its answer. */
  readonly stalledMs: number;
}

const usualAnswerLimits: AnswerLimits = { atOnce: 64, stalledMs: 30_000 };

export function failure(status: number, error: ErrorBody): Reply {
  return { status, body: { error } };
}

/** The listener of a node:http server for a table of routes. */
export function routeListener(
  routes: readonly Route[],
  onError: (error: unknown) => void,
  { atOnce, stalledMs }: AnswerLimits = usualAnswerLimits,
): RequestListener {
  const inFlight = new InFlight();
  return (message, response) => {
    inFlight.begin(message, response);
    const heard = inFlight.requests > atOnce ? routes.map(refusing) : routes;
    const sendReply = (reply: Reply): Promise<void> => {
      // From here on: what is asked for may take its time, and node:http looks only at requests.
      response.setTimeout(stalledMs, () => response.destroy());
      return send(reply, message, response);
    };
    answer(heard, message, response)
      .then(sendReply)
      .catch(async (error) => {
        onError(error);
        // Of an answer that has begun there is no other end than that of its connection.
        if (response.headersSent) response.destroy();
        else await sendReply(failure(500, internalError));
      });
  };
}

function refusing(route: Route): Route {
  return route.isProbe === true ? route : { ...route, authorize: () => busy };
}

/** The token of `Authorization: Bearer TOKEN`, or null. */
export function bearerToken(message: IncomingMessage): string | null {
  const match = /^Bearer +(\S+) *$/i.exec(message.headers.authorization ?? '');
  return match?.[1] ?? null;
}

const internalError: ErrorBody = {
  code: 'Internal',
  message: 'the server failed to answer; this is a bug',
  next: 'look for the event requestFailed in its log and report it',
};

const busy: Reply = {
  ...failure(503, {
    code: 'Busy',
    message: 'too many requests are being answered at once',
    next: 'ask again in a second; who asks so often?',
  }),
  headers: { 'retry-after': '1', connection: 'close' },
};

/** A page of the web that a browser on this machine has open could speak to us as anybody here can. */
const webPage: Reply = failure(403, {
  code: 'WebPage',
  message: 'no web page changes anything here',
  next: 'use the verbs, or send no Origin header',
});

async function answer(
  routes: readonly Route[],
  message: IncomingMessage,
  response: ServerResponse,
): Promise<Reply> {
  const url = URL.parse(message.url ?? '/', 'http://localhost');
  const here = routes.filter((route) => route.path === url?.pathname);
  if (url === null || here.length === 0) {
    const paths = [...new Set(routes.map((route) => route.path))];
    return failure(404, {
      code: 'NotFound',
      message: `nothing is served at ${message.url?.slice(0, 200)}`,
      next: `ask for one of ${paths.join(' ')}`,
      paths,
    });
  }
  const method = message.method === 'HEAD' ? 'GET' : message.method;
  const route = here.find((candidate) => candidate.method === method);
  if (route === undefined) {
    const allow = here
      .flatMap((other) => (other.method === 'GET' ? ['GET', 'HEAD'] : [other.method]))
      .join(', ');
    const error = {
      code: 'MethodNotAllowed',
      message: `${message.method} is not served here`,
      next: `use ${allow}`,
    };
    return { ...failure(405, error), headers: { allow } };
  }
  const refusal = route.authorize?.(message) ?? null;
  if (refusal !== null) return refusal;
  if (route.method === 'POST' && message.headers.origin !== undefined) return webPage;
  const body = route.method === 'POST' ? await readJson(message) : { value: undefined };
  if ('refusal' in body) return body.refusal;
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  return await route.handle({ url, message, body: body.value, signal: gone.signal });
}

async function readJson(message: IncomingMessage): Promise<{ value: unknown } | { refusal: Reply }> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > bodyLimitBytes) {
      const error = {
        code: 'TooLarge',
        message: `a body of more than ${bodyLimitBytes} bytes`,
        next: 'send less',
      };
      return { refusal: { ...failure(413, error), headers: { connection: 'close' } } };
    }
    parts.push(part);
  }
  if (length === 0) return { value: undefined };
  try {
    return { value: JSON.parse(Buffer.concat(parts).toString('utf8')) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return {
      refusal: failure(400, {
        code: 'BadJson',
        message: `body: not JSON: ${why}`,
        next: 'send a JSON object',
      }),
    };
  }
}

/** Rejects where the pieces of a body cannot be made to the end. */
async function send(reply: Reply, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, body, contentType } = reply;
  if (response.writableEnded || response.destroyed) return;
  const isText = typeof body === 'string';
  const headers = {
    'content-type': contentType ?? (isText ? 'text/plain; charset=utf-8' : 'application/json'),
    'cache-control': 'no-store',
    ...reply.headers,
  };
  const isHead = message.method === 'HEAD';
  if (areParts(body)) {
    response.writeHead(status, headers);
    return await pipeline(isHead ? [] : body, response).catch((error: NodeJS.ErrnoException) => {
      // Who has gone away misses nothing.
      if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    });
  }
  const bytes = Buffer.from(isText ? body : `${JSON.stringify(body, null, 2)}\n`);
  response.writeHead(status, { ...headers, 'content-length': bytes.length });
  response.end(isHead ? undefined : bytes);
}

function areParts(body: unknown): body is AsyncIterable<string> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
