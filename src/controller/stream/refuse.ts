// Turns a connection away: by an HTTP answer before the upgrade, by a close code for a frame that ws rejects.

import type { Duplex } from 'node:stream';

export interface Refusal {
  readonly status: number;
  readonly reason: string;
}

const statusWords: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Answers a rejected upgrade request and ends its socket at once, so that it keeps no resources. */
export function refuse(socket: Duplex, { status, reason }: Refusal): void {
  const body = `${reason}\n`;
  const extra = status === 401 ? 'WWW-Authenticate: Bearer\r\n' : status === 503 ? 'Retry-After: 1\r\n' : '';
  const head = [
    `HTTP/1.1 ${status} ${statusWords[status]}`,
    'Connection: close',
    'Content-Type: text/plain',
    '',
  ].join('\r\n');
  socket.once('finish', () => socket.destroy());
  socket.end(`${head}${extra}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

/** The close code that ws sends for an error it detects: invalid UTF-8, a frame too long, or bad framing. */
export function codeOfFraming({ code }: NodeJS.ErrnoException): number {
  if (code === 'WS_ERR_INVALID_UTF8') return 1007;
  return code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' ? 1009 : 1002;
}
