// What a send costs with `ws` alone: a server that sends some bytes to all its connections, and counts the
// answers. It is a process of its own, as the controller is.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import { answerParent } from './questions.ts';
import { type Span, SpanOf } from './span.ts';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
const sendOptions = { binary: false, compress: false, fin: true } as const;
let round: SpanOf | null = null;
server.on('connection', (socket) => socket.on('message', () => round?.arrived()));

export interface BareSpan extends Span {
  /** When the first send began. */
  readonly beganMs: number;
}

const answers = {
  async listen(): Promise<string> {
    if (server.address() === null) await once(server, 'listening');
    return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  },

  /** Sends the text to all, and resolves when all have answered. */
  async send(text: string): Promise<BareSpan> {
    const frame = Buffer.from(text);
    round = new SpanOf(server.clients.size);
    const beganMs = performance.now();
    for (const socket of server.clients) socket.send(frame, sendOptions);
    return { beganMs, ...(await round.whole) };
  },
};

export type Bare = typeof answers;

answerParent(answers);
