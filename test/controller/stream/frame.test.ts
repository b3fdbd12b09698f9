// ws reads our frames, whatever their length.

import { deepEqual } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { frameOf } from '../../../src/controller/stream/frame.ts';

/** Lengths on both sides of where the header grows, in bytes; an umlaut has two. */
const messages = [
  ...['', 'x', 'ü', 'x'.repeat(125), 'x'.repeat(126), `${'x'.repeat(124)}ü`],
  ...['x'.repeat(65_535), 'x'.repeat(65_536), 'ü'.repeat(40_000), '{"last":true}'],
];

test('ws reads our frames, and its own close frame after them', { timeout: 10_000 }, async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, wire, head) => {
    sockets.handleUpgrade(request, wire, head, (socket) => {
      for (const message of messages) wire.write(frameOf(message));
      socket.close(1000, 'that was all');
    });
  });
  t.after(() => server.close());
  await once(server, 'listening');
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const heard: string[] = [];
  client.on('message', (data, isBinary) => heard.push(isBinary ? 'binary' : String(data)));
  const [code, reason] = await once(client, 'close');
  deepEqual([heard, code, String(reason)], [messages, 1000, 'that was all']);
});

test('a frame has the shortest head for its length (RFC 6455 5.2)', () => {
  const heads = [0, 125, 126, 0xffff, 0x10000].map((length) => frameOf('x'.repeat(length)).length - length);
  deepEqual(heads, [2, 2, 4, 4, 10]);
});
