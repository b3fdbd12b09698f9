// Clients that request much, or do not read the answers, do not hold up others.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import {
  type AnswerLimits,
  bodyLimitBytes,
  type Reply,
  type Route,
  routeListener,
  serverLimits,
} from '../../src/process/http.ts';
import { serve } from '../../src/process/serve.ts';
import { patient, untilTrue } from '../patience.ts';

const limit = { timeout: patient(20_000) };

async function serving(t: TestContext, routes: readonly Route[], limits: AnswerLimits) {
  const errors: string[] = [];
  const server = createServer(routeListener(routes, (error) => errors.push(String(error)), limits));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  /** A client that sends text and reads nothing. */
  const deaf = (text: string): Socket => {
    const socket = connect(port, '127.0.0.1').pause();
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.write(text);
    return socket;
  };
  return { url: `http://127.0.0.1:${port}`, server, errors, deaf };
}

function request(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
}

test('a client that does not read its answer is cut off, for a text and for pieces', limit, async (t) => {
  const text = 'x'.repeat(64 * 1024 * 1024);
  async function* pieces() {
    for (;;) yield text;
  }
  const routes = [
    { method: 'GET', path: '/text', handle: () => ({ status: 200, body: text }) },
    { method: 'GET', path: '/pieces', handle: () => ({ status: 200, body: pieces() }) },
  ] as const;
  const { server, errors, deaf } = await serving(t, routes, { atOnce: 10, stalledMs: 50 });
  for (const { path } of routes) {
    const [[socket]] = await Promise.all([once(server, 'connection'), deaf(request(path))]);
    await once(socket, 'close');
  }
  deepEqual(errors, []);
});

test('an answer that takes longer than stalledMs to make is sent', limit, async (t) => {
  const handle = async (): Promise<Reply> => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return { status: 200, body: 'moved' };
  };
  const routes = [{ method: 'GET', path: '/', handle }] as const;
  const { url } = await serving(t, routes, { atOnce: 10, stalledMs: 20 });
  equal(await (await fetch(url)).text(), 'moved');
});

test('requests above the limit get 503 and Retry-After, and probes get 200', limit, async (t) => {
  const waiting: ((reply: Reply) => void)[] = [];
  const wait = () => {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    waiting.push(resolve);
    return promise;
  };
  const routes = [
    { method: 'GET', path: '/', handle: wait },
    { method: 'GET', path: '/now', handle: () => ({ status: 200, body: 'now' }) },
    { method: 'GET', path: '/healthz', isProbe: true, handle: () => ({ status: 200, body: 'ok' }) },
  ] as const;
  const { url, deaf } = await serving(t, routes, { atOnce: 3, stalledMs: 60_000 });
  const of = async (path: string) => {
    const answer = await fetch(url + path);
    await answer.text();
    return [answer.status, answer.headers.get('retry-after')];
  };
  const until = async (isSo: () => boolean | Promise<boolean>) => {
    while (!t.signal.aborted && !(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const first = fetch(url);
  const gone = deaf(request('/').repeat(2));
  await until(() => waiting.length === 3);
  deepEqual(await of('/now'), [503, '1']);
  deepEqual(await of('/healthz'), [200, null]);
  // One request was being answered, the other waited behind it: both have ended.
  gone.destroy();
  await until(async () => (await of('/now'))[0] === 200);
  const others = [fetch(url), fetch(url)];
  await until(() => waiting.length === 5);
  deepEqual(await of('/now'), [503, '1']);
  for (const resolve of waiting) resolve({ status: 200, body: 'late' });
  for (const answer of [first, ...others]) equal(await (await answer).text(), 'late');
  deepEqual(await of('/now'), [200, null]);
});

test('a body that is too large is refused with 413 and not handled', limit, async (t) => {
  const bodies: unknown[] = [];
  const handle = ({ body }: { readonly body: unknown }): Reply => {
    bodies.push(body);
    return { status: 200, body: {} };
  };
  const route = { method: 'POST', path: '/', handle } as const;
  const { url, errors } = await serving(t, [route], { atOnce: 64, stalledMs: 5000 });
  const answers: unknown[] = [];
  for (const length of [bodyLimitBytes, bodyLimitBytes + 1, 64 * bodyLimitBytes]) {
    const body = JSON.stringify('x'.repeat(length - 2));
    const response = await fetch(`${url}/`, { method: 'POST', body });
    const { error } = (await response.json()) as { error?: { code: string } };
    answers.push([response.status, error?.code]);
  }
  deepEqual(answers, [
    [200, undefined],
    [413, 'TooLarge'],
    [413, 'TooLarge'],
  ]);
  deepEqual([bodies.length, errors], [1, []]);
});

test('a client that does not finish its request is cut off after five seconds', limit, async (t) => {
  const server = createServer(
    serverLimits,
    routeListener([], () => undefined),
  );
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const beganMs = performance.now();
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  t.after(() => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nhost: ');
  await once(socket.resume(), 'close');
  const tookMs = performance.now() - beganMs;
  ok(tookMs > 4000 && tookMs < 15_000, `${tookMs}`);
});

test('a server has at most 128 connections, and accepts others as those end', limit, async (t) => {
  const port = await freePort();
  using server = await serve({ flag: '--listen', at: { host: '127.0.0.1', port }, onError: () => undefined });
  server.show([{ method: 'GET', path: '/', handle: () => ({ status: 200, body: 'ok' }) }]);
  const open = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  const [first, ...others] = await Promise.all(Array.from({ length: 128 }, open));
  // An idle connection is closed too, but not before its request was answered.
  const answered = async (socket: Socket) => {
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes;
    });
    socket.write(request('/').replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'));
    await new Promise((resolve) => socket.once('close', resolve));
    return text.split('\r\n')[0];
  };
  equal(await answered(await open()), '');
  equal(await answered(others[0] ?? (await open())), 'HTTP/1.1 200 OK');
  first?.destroy();
  await untilTrue(async () => (await fetch(`http://127.0.0.1:${port}`)).ok);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
