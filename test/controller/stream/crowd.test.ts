// Limits on connections that have not said hello yet.

import { deepEqual, equal, match } from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { boundSources, connectionLimit, makeServer } from '../../../src/controller/server.ts';
import { Crowd, mostOfNode, unheardLimitBytes } from '../../../src/controller/stream/crowd.ts';
import { heldFrameLimitBytes } from '../../../src/protocol/messages.ts';
import { untilTrue } from '../../patience.ts';
import { configOf, folder, runningController, service, untilStatus } from '../fixture.ts';
import { agentOf } from '../test-agent.ts';

const limit = { timeout: 60_000 };
const mib = 1024 * 1024;

/** Requests a stream, and resolves to `open` or the error of the refusal. */
async function asked(t: TestContext, url: string, token: string): Promise<readonly [string, WebSocket]> {
  const headers = { authorization: `Bearer ${token}` };
  const socket = new WebSocket(`${url.replace('http', 'ws')}/agent`, 'vipward.v1', { headers });
  t.after(() => socket.terminate());
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.on('open', () => resolve('open'));
  socket.on('error', ({ message }) => resolve(message));
  return [await promise, socket];
}

test('the connections of one credential are limited, and another one is admitted', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'n1 one\nn2 two\n');
  const running = await runningController(t, {
    files: { 'a.yaml': service('web') },
    argv: ['--token-file', tokens],
  });
  const tries = Array.from({ length: mostOfNode }, () => asked(t, running.url, 'one'));
  const opened = await Promise.all(tries);
  deepEqual(new Set(opened.map(([what]) => what)), new Set(['open']));
  match((await asked(t, running.url, 'one'))[0], /503/);
  match(running.status().refusedStreams.at(-1)?.reason ?? '', /too many connections by this credential/);
  const [what, socket] = await asked(t, running.url, 'two');
  // The client offers compression, and the controller takes no part in it.
  deepEqual([what, socket.extensions], ['open', '']);
  opened[0]?.[1].terminate();
  await untilTrue(async () => (await asked(t, running.url, 'one'))[0] === 'open');
});

/** A crowd, and the names of its guests that were ended. */
function crowdOf() {
  const crowd = new Crowd();
  const ended: string[] = [];
  const guest = (name: string) => {
    const wire = new PassThrough();
    const stay = crowd.enter({ node: null, wire, onTooMuch: () => ended.push(name) });
    return { read: (bytes: number) => wire.emit('data', Buffer.alloc(bytes)), stay };
  };
  return { ended, guest };
}

test('bytes read before hello are limited in total, and do not count after a hello', () => {
  const { ended, guest } = crowdOf();
  const [a, b, c] = [guest('a'), guest('b'), guest('c')];
  a.read(unheardLimitBytes / 2);
  b.read(unheardLimitBytes / 2);
  deepEqual(ended, []);
  c.read(1);
  deepEqual(ended, ['a']);
  // It is ending, and counts no more.
  a.read(unheardLimitBytes);
  a.stay.left();
  c.read(unheardLimitBytes / 2 - 1);
  deepEqual(ended, ['a']);
  b.stay.heard();
  b.stay.left();
  b.read(unheardLimitBytes);
  c.read(unheardLimitBytes / 2);
  deepEqual(ended, ['a']);
  c.read(1);
  deepEqual(ended, ['a', 'c']);
});

test('whoever fills the limit, few or many, gives way to a newcomer, oldest first', () => {
  for (const holders of [4, 1500]) {
    const { ended, guest } = crowdOf();
    const idle = guest('idle');
    const slow = Array.from({ length: holders }, (_, index) => guest(`slow ${index}`));
    for (const one of slow) one.read(Math.floor(unheardLimitBytes / holders));
    const newcomer = guest('newcomer');
    newcomer.read(heldFrameLimitBytes - 1);
    newcomer.stay.heard();
    deepEqual(
      ended,
      slow.slice(0, holders / 4).map((_, index) => `slow ${index}`),
    );
    idle.stay.left();
  }
});

test(
  'endless frames are cut off before they fill the memory, and an agent stays connected',
  limit,
  async (t) => {
    const running = await runningController(t, { files: { 'a.yaml': service('web') } });
    const witness = agentOf(t, running, 'n1');
    await witness.synced();
    const sockets = Array.from({ length: unheardLimitBytes / (8 * mib) + 1 }, async () => {
      const socket = new WebSocket(`${running.url.replace('http', 'ws')}/agent`, 'vipward.v1');
      t.after(() => socket.terminate());
      socket.on('error', () => undefined);
      await once(socket, 'open');
      const { _socket: raw } = socket as unknown as { _socket: Socket };
      // A masked text frame of 11 MiB, of which 9 are sent.
      const head = Buffer.alloc(14);
      head[0] = 0x81;
      head[1] = 0x80 | 127;
      head.writeBigUInt64BE(BigInt(11 * mib), 2);
      raw.write(head);
      for (let piece = 0; piece < 9; piece++) raw.write(Buffer.alloc(mib));
    });
    await Promise.all(sockets);
    await untilStatus(running, ({ refusedStreams }) => refusedStreams.some(({ code }) => code === 1009));
    const refused = running.status().refusedStreams.find(({ code }) => code === 1009);
    match(refused?.reason ?? '', /too many bytes from connections/);
    equal(witness.closed, null);
  },
);

test('the connections of one source address are limited, and another has its own limit', limit, async (t) => {
  const server = createServer();
  boundSources(server, 2);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const from = (localAddress: string) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    t.after(() => socket.destroy());
    const state = { socket, isClosed: false };
    socket.on('error', () => undefined).on('close', () => (state.isClosed = true));
    return state;
  };
  const few = [from('127.0.0.1'), from('127.0.0.1')];
  await untilTrue(() => few.every(({ socket }) => socket.readyState === 'open'));
  const more = from('127.0.0.1');
  await untilTrue(() => more.isClosed);
  const other = from('127.0.0.2');
  await untilTrue(() => other.socket.readyState === 'open');
  few[0]?.socket.destroy();
  await untilTrue(async () => {
    const again = from('127.0.0.1');
    await once(again.socket, 'connect');
    await new Promise((resolve) => setTimeout(resolve, 50));
    return !again.isClosed;
  });
  deepEqual([few[1]?.isClosed, other.isClosed], [false, false]);
});

test('a controller keeps 1,500 connections of one address, and serves another address', limit, async (t) => {
  const { url } = await runningController(t, { files: { 'a.yaml': service('web') } });
  const { port } = new URL(url);
  let closed = 0;
  const from = async (localAddress: string): Promise<Socket> => {
    const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress });
    t.after(() => socket.destroy());
    socket.on('error', () => undefined).on('close', () => closed++);
    await once(socket, 'connect');
    return socket;
  };
  const many = Array.from({ length: 1501 }, () => from('127.0.0.1'));
  await Promise.all(many);
  await untilTrue(() => closed > 0);
  const other = await from('127.0.0.2');
  other.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
  match(String(await once(other, 'data')), /^HTTP\/1.1 200/);
  equal(closed, 1);
});

test('the server of a controller limits its connections, whoever makes them', async () => {
  const config = await configOf(['--services', '.', '--pool', 'p=10.77.0.0/24']);
  const { signal } = new AbortController();
  const ignore = () => undefined;
  const ignored = { listener: ignore, onRead: ignore, onError: ignore };
  const server = makeServer(config, { ...ignored, signal, certificate: null });
  equal(server.maxConnections, connectionLimit);
});
