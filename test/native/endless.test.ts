// Sockets with more events than anybody takes, and with conditions that reading does not clear.
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { untilTrue } from '../patience.ts';
import { AF_INET, EBADF, ENOTSOCK, SOCK_DGRAM } from './kernel-bytes.ts';
import { standsStill } from './thread.ts';
import { collect, end, native, openUdp } from './watched.ts';

const SOCK_STREAM = 1;
const IP_RECVERR = 11;
const EIO = 5;
const ENOTCONN = 107;
const ECONNREFUSED = 111;

const nobody = new Int32Array(new SharedArrayBuffer(4));

test('only so much of a flood is kept while JavaScript is busy, and later events are delivered', async () => {
  const { fd, address } = openUdp();
  const events = collect(fd);
  for (let turn = 0; turn < 20_000; turn++) {
    if (turn % 100 === 0) Atomics.wait(nobody, 0, 0, 1);
    native.send(fd, new Uint8Array([1]), 0, address);
  }
  await untilTrue(() => events.length >= 4096);
  await sleep(20);
  assert.ok(events.length < 10_000, `${events.length} events`);
  native.send(fd, new Uint8Array([2]), 0, address);
  await untilTrue(() => (events.at(-1) as Uint8Array)[0] === 2);
  end(fd);
});

test('a dead descriptor is reported once, and the reader thread does not spin', async () => {
  const file = openSync('/dev/null', 'r');
  const { fd: closed } = openUdp();
  native.close(closed);
  const told = [collect(file), collect(closed)];
  await untilTrue(() => told.every(({ length }) => length > 0));
  await standsStill('vipward-reader');
  assert.deepEqual(told, [[-ENOTSOCK], [-EBADF]]);
  native.unwatch(file);
  native.unwatch(closed);
  closeSync(file);
});

test('a peer that hangs up is reported at most once, and the reader thread does not spin', async () => {
  const server = createServer((socket) => socket.end());
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.pause();
  const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd;
  const events = collect(fd);
  await standsStill('vipward-reader');
  assert.ok(events.length <= 1, `${events.length} events`);
  native.unwatch(fd);
  socket.destroy();
  server.close();
});

test('a socket whose error stays is given up after five, and the reader thread does not spin', async () => {
  const fd = native.socket(AF_INET, SOCK_STREAM, 0);
  const events = collect(fd);
  await untilTrue(() => events.length >= 5);
  await standsStill('vipward-reader');
  assert.deepEqual(events, new Array(5).fill(-ENOTCONN));
  end(fd);
});

test('a condition of a socket that reading does not clear is reported, and ends the watch', async () => {
  const { fd: closed, address } = openUdp();
  native.close(closed);
  const fd = native.socket(AF_INET, SOCK_DGRAM, 0);
  native.setsockopt(fd, 0, IP_RECVERR, new Uint8Array([1, 0, 0, 0]));
  native.connect(fd, address);
  const events = collect(fd);
  native.send(fd, new Uint8Array([1]), 0);
  await untilTrue(() => events.length >= 2);
  await standsStill('vipward-reader');
  assert.deepEqual(events, [-ECONNREFUSED, -EIO]);
  end(fd);
});
