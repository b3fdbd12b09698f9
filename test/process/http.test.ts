// Answers in one piece and in many: complete, refused, cut off by an exception, abandoned by the client.

import { deepEqual, equal, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bodyLimitBytes, type Route, routeListener } from '../../src/process/http.ts';

const limit = { timeout: 10_000 };

/** A server with one route, and its errors. */
async function serving(t: TestContext, body: () => AsyncIterable<string>) {
  return await servingAll(t, [{ method: 'GET', path: '/', handle: () => ({ status: 200, body: body() }) }]);
}

async function servingAll(t: TestContext, routes: readonly Route[]) {
  const errors: string[] = [];
  const server = createServer(routeListener(routes, (error) => errors.push(String(error))));
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
  await sleep(50);
  deepEqual(errors, []);
});

test('an answer is kept by no cache, and HEAD has its length alone', limit, async (t) => {
  const handle = () => ({ status: 200, body: 'text' });
  const { url } = await servingAll(t, [{ method: 'GET', path: '/', handle }]);
  for (const method of ['GET', 'HEAD']) {
    const { status, headers } = await fetch(url, { method });
    const found = ['cache-control', 'content-length'].map((name) => headers.get(name));
    deepEqual([status, ...found], [200, 'no-store', '4']);
  }
  const nowhere = await fetch(`${url}${'x'.repeat(1000)}`);
  deepEqual([nowhere.status, (await nowhere.text()).includes('x'.repeat(200))], [404, false]);
});

test(
  'a body may be missing, and one that is too long, no JSON or of a web page is refused',
  limit,
  async (t) => {
    const handle: Route['handle'] = ({ body }) => ({ status: 200, body: { got: body ?? 'nothing' } });
    const { url, errors } = await servingAll(t, [{ method: 'POST', path: '/', handle }]);
    const full = `"${'x'.repeat(bodyLimitBytes - 2)}"`;
    for (const [body, headers, status, connection] of [
      ['', {}, 200, 'keep-alive'],
      [full, {}, 200, 'keep-alive'],
      [`${full} `, {}, 413, 'close'],
      ['{', {}, 400, 'keep-alive'],
      ['1', { origin: 'http://a' }, 403, 'keep-alive'],
    ] as const) {
      const sent = request(url, { method: 'POST', headers });
      sent.end(body);
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      answer.resume();
      deepEqual([answer.statusCode, answer.headers.connection], [status, connection]);
    }
    deepEqual(errors, []);
  },
);

test('the signal of a request is aborted once its client has gone', limit, async (t) => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const handle: Route['handle'] = async ({ signal }) => {
    gone.abort();
    await once(signal, 'abort');
    resolve();
    return { status: 200, body: '' };
  };
  const { url, errors } = await servingAll(t, [{ method: 'GET', path: '/', handle }]);
  const gone = new AbortController();
  await rejects(fetch(url, { signal: gone.signal }));
  await ended;
  deepEqual(errors, []);
});
