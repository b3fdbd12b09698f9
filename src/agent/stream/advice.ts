// What an operator should do about a controller that is unreachable or refuses this node.

import type { IncomingMessage } from 'node:http';
import { ownWords, tlsAdvice } from '../../process/tls-advice.ts';

/** The most that is read of a body, and the most that is reported of it. */
const bodyBytes = 2048;
const mostCharacters = 200;
const bodyWithinMs = 1000;

/** For an answer that opens no stream: calls `onWords` once with the controller's words and what to do. */
export function readAnswer(response: IncomingMessage, onWords: (words: string) => void): void {
  const { statusCode: status, headers } = response;
  let body = '';
  const end = (): void => {
    clearTimeout(timer);
    response.removeAllListeners('data').off('close', end);
    const said = wordsOf(headers['content-type'] ?? '', body);
    onWords(`the controller answered ${status}${said === '' ? '' : `: ${said}`}; ${adviceForStatus(status)}`);
  };
  const timer = setTimeout(end, bodyWithinMs);
  response
    .on('close', end)
    .setEncoding('utf8')
    .on('data', (part: string) => {
      body += part;
      if (body.length >= bodyBytes) end();
    });
}

/** The first line of a body that is meant for people; '' for other bodies. */
function wordsOf(contentType: string, body: string): string {
  const text = /json/.test(contentType) ? messageIn(body) : /^text\/plain/.test(contentType) ? body : '';
  const line = text.trim().split(/[\r\n]/)[0] ?? '';
  return line.replace(/\p{Cc}/gu, '').slice(0, mostCharacters);
}

function messageIn(body: string): string {
  try {
    const { error } = JSON.parse(body) as { readonly error?: { readonly message?: unknown } };
    return typeof error?.message === 'string' ? error.message : '';
  } catch {
    return '';
  }
}

function adviceForStatus(status: number | undefined): string {
  switch (status) {
    case 400:
      return upgrade;
    case 401:
      return "put the token of this node's line in the controller's --token-file into --token-file, \
or give a certificate for vipward://node/NAME as --cert and --key";
    case 403:
      return 'connect to the controller directly: a proxy on the way adds an Origin header';
    case 404:
      return 'give --controller the ws[s]://HOST:PORT of a controller, not of an agent or a proxy';
    case 503:
      return 'the agent tries again by itself; if this lasts, read the log of the controller';
    default:
      return 'check that --controller names a vipward controller, and the proxies on the way to it';
  }
}

export const upgrade = 'upgrade the older of agent and controller';

/** Why an attempt got no HTTP answer, and what to do. */
export function reasonOf(error: NodeJS.ErrnoException): string {
  return `${ownWords(error)}; ${adviceForError(error)}`;
}

function adviceForError({ code = '', syscall = '' }: NodeJS.ErrnoException): string {
  if (syscall === 'getaddrinfo') return 'check the name in --controller, and the name servers of this node';
  if (syscall === 'open') return 'check --token-file, --ca-file, --cert and --key';
  if (code === 'BadToken') return 'write only the token of this node into it, without a name before it';
  if (code === 'BadCa') return 'write that of the CA of the controller into it';
  if (code.startsWith('ERR_OSSL_'))
    return 'give --ca-file, --cert and --key as PEM, and the key that belongs to --cert';
  return tlsAdvice(code) ?? 'check --controller, and that a controller listens there';
}
