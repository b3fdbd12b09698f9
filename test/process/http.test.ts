// Answers whose text comes in pieces: complete, cut off by an exception, and abandoned by the client.

import { deepEqual, equal, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { routeListener } from '../../src/process/http.ts';

const limit = { timeout: 10_000 };

/** A server with one route, and its errors. */
async function serving(t: TestContext, body: () => AsyncIterable<string>) {
  const errors: string[] = [];
  const route = { method: 'GET', path: '/', handle: () => ({ status: 200, body: body() }) } as const;
  const server = createServer(routeListener([route], (error) => errors.push(String(error))));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, errors };
}

test('pieces arrive as one text, and HEAD makes none', limit, async (t) => {
  let made = 0;
  const { url, errors } = await serving(t, async function* () {
    for (let piece = 0; piece < 100; piece++) {
      made++;
      yield `${piece} `.repeat(1000);
    }
  });
  equal((await (await fetch(url, { method: 'HEAD' })).text()).length, 0);
  equal(made, 0);
  const text = await (await fetch(url)).text();
  deepEqual([text.length, text.slice(-4), errors], [290_000, ' 99 ', []]);
});

test('an exception while a piece is made ends the connection, and is reported', limit, async (t) => {
  const { url, errors } = await serving(t, async function* () {
    yield 'begun';
    throw new RangeError('no such VIP');
  });
  await rejects(fetch(url).then((response) => response.text()));
  deepEqual(errors, ['RangeError: no such VIP']);
});

test('no more pieces are made for a client that has gone, and no error is reported', limit, async (t) => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { url, errors } = await serving(t, async function* () {
    try {
      for (;;) yield 'x'.repeat(100_000);
    } finally {
      resolve();
    }
  });
  const gone = new AbortController();
  const response = await fetch(url, { signal: gone.signal });
  equal(response.status, 200);
  gone.abort();
  await ended;
  deepEqual(errors, []);
});
