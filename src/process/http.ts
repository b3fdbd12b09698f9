// A small JSON server for status, health and metrics. Routes are a table, errors are values, and slow clients
// are disconnected.

import type { IncomingMessage, RequestListener, ServerOptions, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { InFlight } from './in-flight.ts';
import { messageOf } from './message-of.ts';

/** A handler's reply: a value that becomes JSON, or text with its type. */
export interface Reply {
  readonly status: number;
  /** Long text may be an async iterable of pieces: each is made once the one before it is sent. */
  readonly body: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RouteRequest {
  readonly url: URL;
  readonly message: IncomingMessage;
  /** The parsed JSON of a POST; undefined without a body. */
  readonly body: unknown;
  /** Aborted when the client disconnects before the reply. */
  readonly signal: AbortSignal;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Returns a refusal or null, before the body is read. */
  readonly authorize?: (message: IncomingMessage) => Reply | null;
  /** Served also when the server is busy: the reply is small, and a kubelet decides by it. */
  readonly isProbe?: true;
  readonly handle: (request: RouteRequest) => Reply | Promise<Reply>;
}

/** The body of an error reply: a stable code, what is wrong, and what to do next. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly next: string;
  /** With NotFound: the paths that are served. */
  readonly paths?: readonly string[];
}

export const bodyLimitBytes: number = 64 * 1024;

/** Options of node:http that limit what a client that never finishes can hold. */
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

/** Limits for clients that send many requests or do not read the replies. */
export interface AnswerLimits {
  /** The most requests answered at once. */
  readonly atOnce: number;
  /** How long a client may read nothing of its reply. */
  readonly stalledMs: number;
}

const usualAnswerLimits: AnswerLimits = { atOnce: 64, stalledMs: 30_000 };

export function failure(status: number, error: ErrorBody): Reply {
  return { status, body: { error } };
}

/** The request listener of a node:http server for a table of routes. */
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
      // Starts only now: a handler may take its time, and the timeouts of node:http cover only requests.
      response.setTimeout(stalledMs, () => response.destroy());
      return send(reply, message, response);
    };
    answer(heard, message, response)
      .then(sendReply)
      .catch(async (error) => {
        onError(error);
        // A reply that has begun can only end with its connection.
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
    message: 'the server is answering too many requests',
    next: 'ask again in a second; check which client asks so often',
  }),
  headers: { 'retry-after': '1', connection: 'close' },
};

/** A web page open in a browser on this machine can send requests like any local client. */
const webPage: Reply = failure(403, {
  code: 'WebPage',
  message: 'a web page may not change anything here',
  next: 'use the vipward commands, or send no Origin header',
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
    const why = messageOf(error);
    return {
      refusal: failure(400, {
        code: 'BadJson',
        message: `body: not JSON: ${why}`,
        next: 'send a JSON object',
      }),
    };
  }
}

/** Rejects if making the pieces of a body fails. */
async function send(reply: Reply, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, body, contentType } = reply;
  if (response.writableEnded || response.destroyed) return;
  const isText = typeof body === 'string';
  const headers = {
    'content-type': contentType ?? (isText ? 'text/plain; charset=utf-8' : 'application/json'),
    'cache-control': 'no-store',
    ...reply.headers,
  };
  if (areParts(body)) {
    response.writeHead(status, headers);
    const parts = message.method === 'HEAD' ? [] : body;
    return await pipeline(parts, response).catch((error: NodeJS.ErrnoException) => {
      // The client has disconnected: nothing is lost.
      if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    });
  }
  const bytes = Buffer.from(isText ? body : `${JSON.stringify(body, null, 2)}\n`);
  response.writeHead(status, { ...headers, 'content-length': bytes.length });
  response.end(bytes);
}

function areParts(body: unknown): body is AsyncIterable<string> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
