// Which request may open a stream, for which node its connection may speak, and the words of a refusal.

import { deepEqual, equal } from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { codeOfFraming, refuse } from '../../../src/controller/stream/refuse.ts';
import { whyNoStream, whyStranger } from '../../../src/controller/stream/upgrade-policy.ts';

const headers = { 'sec-websocket-protocol': 'x, vipward.v1' };
const open = { isKnown: true, isOpen: true, isFull: false, isFullForIt: false };

function asked(request: object, hub: Partial<typeof open> = {}): readonly unknown[] {
  const message = { url: '/agent', headers, ...request } as unknown as IncomingMessage;
  const refusal = whyNoStream(message, { ...open, ...hub });
  return refusal === null ? [] : [refusal.status, refusal.reason];
}

test('a request opens a stream by its path and subprotocol, with a credential and room for it', () => {
  deepEqual(asked({}), []);
  deepEqual(asked({ url: '/agent?x=1' }), []);
  const path = [404, 'the path of the stream is /agent'];
  for (const url of [undefined, '', '/', '/agent/', '/agents', '//'])
    deepEqual([url, asked({ url }, { isKnown: false })], [url, path]);
  const web = { headers: { ...headers, origin: 'null' } };
  deepEqual(asked(web, { isKnown: false }), [403, 'a web page may not open a stream']);
  const closed = { isKnown: false, isFull: true, isFullForIt: true, isOpen: false };
  deepEqual(asked({ headers: {} }, closed), [
    401,
    'there is no token: a client certificate or Authorization: Bearer TOKEN of a node is needed',
  ]);
  const wrong = { headers: { authorization: 'Bearer wrong' } };
  deepEqual(asked(wrong, closed), [401, 'the token is not that of a node']);
  for (const offered of [undefined, '', 'vipward.v2', 'xvipward.v1'])
    deepEqual(asked({ headers: { 'sec-websocket-protocol': offered } }, { ...closed, isKnown: true }), [
      400,
      'the subprotocol vipward.v1 is needed',
    ]);
  deepEqual(asked({}, { ...closed, isKnown: true }), [503, 'too many connections']);
  const byIt = 'too many connections by this credential';
  deepEqual(asked({}, { isFullForIt: true, isOpen: false }), [503, byIt]);
  deepEqual(asked({}, { isOpen: false }), [503, 'the controller has not read all Services yet']);
});

test('a credential of a node speaks for that node alone', () => {
  equal(whyStranger({ node: null }, 'n1'), null);
  equal(whyStranger({ node: 'n1' }, 'n1'), null);
  deepEqual(whyStranger({ node: 'n2' }, 'n1'), {
    code: 1008,
    reason: 'node: the credential is that of n2, not of n1',
  });
  deepEqual(whyStranger(null, 'n1'), { code: 1008, reason: 'the credential is no longer valid' });
});

test('a refusal is a whole HTTP answer, after which the socket is closed', async () => {
  for (const [status, words, more] of [
    [400, 'Bad Request', ''],
    [401, 'Unauthorized', 'WWW-Authenticate: Bearer\r\n'],
    [403, 'Forbidden', ''],
    [404, 'Not Found', ''],
    [500, 'Internal Server Error', ''],
    [503, 'Service Unavailable', 'Retry-After: 1\r\n'],
  ] as const) {
    const socket = new PassThrough({ autoDestroy: false });
    const sent = text(socket);
    refuse(socket, { status, reason: 'so é' });
    const head = `HTTP/1.1 ${status} ${words}\r\nConnection: close\r\nContent-Type: text/plain\r\n${more}`;
    equal(await sent, `${head}Content-Length: 6\r\n\r\nso é\n`);
    equal(socket.destroyed, true);
  }
});

test('a frame that ws rejects has the close code that ws sends for it', () => {
  const codes = [
    'WS_ERR_INVALID_UTF8',
    'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
    'WS_ERR_INVALID_OPCODE',
    undefined,
  ];
  deepEqual(
    codes.map((code) => codeOfFraming(Object.assign(new Error(), code === undefined ? {} : { code }))),
    [1007, 1009, 1002, 1002],
  );
});
