// Who listens on an abstract Unix socket, as the kernel tells it, and what a refusal of the kernel becomes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { loadNative } from '../../src/host/native.ts';
import { listenerOf } from '../../src/host/peer.ts';
import { recordedNative } from './recorded-native.ts';

test('the listener of a name is told by the kernel, also while it takes no connection', async (t) => {
  const name = `vipward-test-${process.pid}`;
  const server = createServer((socket) => socket.destroy());
  t.after(() => server.close());
  server.listen({ path: `\0${name}`, backlog: 1 });
  await once(server, 'listening');
  const native = loadNative();
  const openFiles = () => readdirSync('/proc/self/fd').length;
  const before = openFiles();
  assert.deepEqual(listenerOf(native, name), { pid: process.pid, uid: process.getuid?.() });
  assert.equal(listenerOf(native, `${name}x`), undefined);
  assert.equal(listenerOf(native, name.slice(0, -1)), undefined);
  // The server accepts connections only after this turn.
  const found = Array.from({ length: 5 }, () => listenerOf(native, name));
  assert.equal(found.at(-1), 'busy');
  assert.equal(openFiles(), before);
});

test('a socket that cannot be opened, and credentials of another size, are no listener', () => {
  const none = recordedNative(undefined, { socket: -24 });
  assert.equal(listenerOf(none, 'name'), undefined);
  assert.deepEqual(none.calls, ['socket 1 2049 0']);
  const short = recordedNative();
  assert.equal(listenerOf(short, 'name'), undefined);
  assert.deepEqual(short.calls, [
    'socket 1 2049 0',
    'connect 100 0100006e616d65',
    'getsockopt 100 1 17',
    'close 100',
  ]);
});
