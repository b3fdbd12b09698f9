// A stand-in for a controller or an agent: it answers from a table, and records its requests.
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Surroundings } from '../../src/cli/settings.ts';
import { runVerb } from '../../src/cli/verbs.ts';

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

export interface Stub extends AsyncDisposable {
  readonly url: string;
  readonly asked: readonly Asked[];
}

/** What a stub answers: a status and a body by `METHOD /path`; undefined never answers. */
export type Answers = Readonly<Record<string, readonly [status: number, body: unknown] | undefined>>;

/** With a certificate and its key it speaks TLS. */
export async function startStub(
  answers: Answers,
  tls?: { cert: Buffer; key: Buffer },
  host = '127.0.0.1',
): Promise<Stub> {
  const asked: Asked[] = [];
  const listener: RequestListener = async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString();
    const { method = '', url = '', headers } = request;
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    asked.push({ method, url, authorization: headers.authorization, body });
    const answer = answers[`${method} ${url.split('?')[0]}`];
    if (answer === undefined) return;
    const [status, value] = answer;
    response.writeHead(status).end(typeof value === 'string' ? value : JSON.stringify(value));
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  const scheme = tls === undefined ? 'http' : 'https';
  return {
    url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a verb in this process. */
export async function run(
  argv: readonly string[],
  env: Record<string, string> = {},
  more: Pick<Partial<Surroundings>, 'gone'> & { readonly isTTY?: boolean } = {},
): Promise<Ran> {
  const texts = { out: '', err: '' };
  const { gone = new AbortController().signal, isTTY = false } = more;
  const code = await runVerb(argv, {
    env,
    out: { write: (text) => (texts.out += text), isTTY },
    err: { write: (text) => (texts.err += text) },
    gone,
  });
  return { code, ...texts };
}
