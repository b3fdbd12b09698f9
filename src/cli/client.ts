// A verb's request to a controller or an agent: one request, a deadline, and errors with the exit code.

import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { nodeHttp } from '../process/node-http.ts';
import { UsageError } from '../process/usage.ts';
import {
  type Answer,
  checked,
  NoAnswerError,
  type Question,
  RefusedError,
  UnableError,
  unanswered,
  wordsOf,
} from './answer.ts';
import { leaderOf, standsBy } from './leader.ts';
import type { Shaped } from './shape.ts';
import { plain } from './table.ts';

/** The servers of one role, tried in order, and the credentials for them. */
export interface Server {
  readonly role: 'controller' | 'agent';
  readonly origins: readonly URL[];
  readonly token: string | undefined;
  readonly ca: Buffer | undefined;
  readonly timeoutMs: number;
  /** Tells the user about actions beyond the requested one. */
  readonly say: (text: string) => void;
}

const defaultPorts = { controller: 9470, agent: 9471 } as const;
/** More than the status of 100,000 VIPs. A longer answer does not come from vipward. */
const answerLimitBytes = 256 * 1024 * 1024;
/** The most redirections from one controller to the next: a named leader may have been deposed meanwhile. */
const mostLeaders = 3;

/** A server to ask. A server that another one named may show a certificate for the name of that other one. */
interface Place {
  readonly origin: URL;
  readonly namedBy: URL | null;
}

/** Parses a comma-separated list of URLs; http, https, ws and wss name the same server. Throws UsageError. */
export function parseOrigins(text: string, where: string): readonly URL[] {
  const origins = text.split(',').map((part) => part.trim());
  return origins.filter((part) => part !== '').map((part) => parseOrigin(part, where));
}

function parseOrigin(text: string, where: string): URL {
  const url = URL.parse(text.replace(/^ws(s?):/i, 'http$1:'));
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new UsageError(
      `${where}: expected http://HOST:PORT (or https, ws, wss), got ${JSON.stringify(text)}`,
    );
  }
  return url;
}

export function defaultOrigin(role: Server['role']): URL {
  return new URL(`http://127.0.0.1:${defaultPorts[role]}`);
}

/**
 * Asks each server in turn until one answers; a standby controller's answer leads to the leader it names. A
 * change that was sent and not answered is not sent to another server, because it may have been done. Throws
 * NoAnswerError if no server answered, RefusedError for a 4xx answer.
 */
export async function ask<const Q extends Question>(
  server: Server,
  question: Q,
): Promise<Answer<Shaped<Q['shape']>>> {
  const [failures, asked] = [[] as string[], new Set<string>()];
  const places: Place[] = server.origins.map((origin) => ({ origin, namedBy: null }));
  let standby: { readonly answer: Answer; readonly url: URL } | undefined;
  let [leaders, isThere] = [0, false];
  for (let place = places.shift(); place !== undefined; place = places.shift()) {
    const { origin } = place;
    if (asked.has(origin.origin)) continue;
    asked.add(origin.origin);
    const url = new URL(question.path, origin);
    try {
      const answer = await exchange(url, place, server, question);
      if (!standsBy(answer)) return checked(answer, url, server.role, question);
      standby ??= { answer, url };
      const leader = leaderOf(answer, origin);
      if (leader === null || asked.has(leader.origin.origin) || leaders++ >= mostLeaders) continue;
      const who = `${plain(leader.identity)} at ${leader.origin.host}`;
      server.say(`${origin.host} is a standby: asking the leader, ${who}`);
      places.unshift({ origin: leader.origin, namedBy: origin });
    } catch (error) {
      if (error instanceof RefusedError || error instanceof NoAnswerError) throw error;
      isThere ||= error instanceof UnableError;
      failures.push(`${origin.origin}: ${wordsOf(error)}`);
    }
  }
  if (standby !== undefined) {
    if (failures.length > 0) server.say(`no leader answered: ${failures.join('; ')}`);
    return checked(standby.answer, standby.url, server.role, question);
  }
  if (isThere) throw new NoAnswerError(failures.join('; '));
  const flag = server.role;
  const hint = `check that it runs there, or name another by --${flag} or VIPWARD_${flag.toUpperCase()}`;
  throw new NoAnswerError(`no answer from the ${flag} at ${failures.join('; ')}; ${hint}`);
}

function exchange(
  url: URL,
  { namedBy }: Place,
  { token, ca, timeoutMs }: Server,
  question: Question,
): Promise<Answer> {
  const { method, body } = question;
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers: Record<string, string> = { accept: 'application/json', connection: 'close' };
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  if (bytes !== undefined) {
    headers['content-type'] = 'application/json';
    headers['content-length'] = String(bytes.length);
  }
  const signal = AbortSignal.timeout(timeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  let isSent = false;
  const fail = (error: unknown) => {
    const why = signal.aborted ? new Error(`no answer within ${timeoutMs} ms`) : error;
    reject(isSent ? unanswered(why, url, question) : why);
  };
  const alias = namedBy === null ? {} : { checkServerIdentity: identityOf(namedBy, ca !== undefined) };
  const options = { method, headers, signal, ...alias, ...(ca === undefined ? {} : { ca }) };
  const take = (message: IncomingMessage) => {
    readAnswer(message).then(resolve, fail);
  };
  const outgoing =
    url.protocol === 'https:' ? httpsRequest(url, options, take) : nodeHttp.request(url, options, take);
  outgoing.on('error', fail);
  outgoing.on('socket', (socket) => {
    socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
      isSent = true;
    });
  });
  outgoing.end(bytes);
  return promise;
}

/**
 * Accepts a certificate for the server that was asked or, if `mayBeItself`, for the leader that it named.
 * Other hosts may have trusted certificates too, and must not get the token.
 */
function identityOf({ hostname }: URL, mayBeItself: boolean): typeof checkServerIdentity {
  const asked = hostname.replace(/^\[(.*)\]$/, '$1');
  return (host: string, certificate: PeerCertificate) => {
    const why = checkServerIdentity(asked, certificate);
    return mayBeItself && checkServerIdentity(host, certificate) === undefined ? undefined : why;
  };
}

async function readAnswer(message: IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > answerLimitBytes) throw new Error(`sent more than ${answerLimitBytes} bytes`);
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: message.statusCode ?? 0, text: `${text.trimEnd()}\n`, json };
}
