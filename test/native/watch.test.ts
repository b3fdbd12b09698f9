import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cannotUnshare, Namespace } from '../namespaces.ts';
import { untilTrue } from '../patience.ts';
import {
  AF_INET,
  EBADF,
  EMSGSIZE,
  ENOBUFS,
  groupAddress,
  headers,
  linkUp,
  openRoute,
  RTM_NEWLINK,
  RTMGRP_LINK,
  SOCK_DGRAM,
} from './kernel-bytes.ts';
import { collect, end, native, openUdp } from './watched.ts';

const skip = cannotUnshare();
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const AF_UNIX = 1;
const EEXIST = 17;
const ENOENT = 2;
const ENOSPC = 28;

/** A part of the smallest buffer that a kernel gives a socket. */
const muchBytes = 100_000;
const nobody = new Int32Array(new SharedArrayBuffer(4));

test('a link that comes up is an event on a watched socket', { skip }, async () => {
  using namespace = Namespace.make({ loopback: 'down' });
  const { listener, speaker } = namespace.run(() => ({
    listener: openRoute(native, RTMGRP_LINK),
    speaker: openRoute(native),
  }));
  const events = collect(listener);
  native.send(speaker, linkUp(1, true), 0);
  await untilTrue(() => events.length > 0);
  assert.ok(events[0] instanceof Uint8Array);
  assert.equal(headers(events[0])[0]?.type, RTM_NEWLINK);
  end(listener, speaker);
});

test('a message that another process sends to a group is no event', { skip }, async () => {
  using namespace = Namespace.make({ loopback: 'down' });
  const { listener, speaker } = namespace.run(() => ({
    listener: openRoute(native, RTMGRP_LINK),
    speaker: openRoute(native),
  }));
  const events = collect(listener);
  // Without NLM_F_REQUEST the kernel, which receives it too, ignores it.
  const forged = linkUp(1, true).with(6, 0);
  assert.equal(native.send(speaker, forged, 0, groupAddress(RTMGRP_LINK)), forged.length);
  native.send(speaker, linkUp(1, true), 0);
  await untilTrue(() => events.length > 0);
  await sleep(20);
  assert.deepEqual(
    events.map((event) => (event instanceof Uint8Array ? headers(event)[0]?.type : event)),
    [RTM_NEWLINK],
  );
  end(listener, speaker);
});

test('the reader thread loses none of 2,000 events while JavaScript is busy, and keeps their order', {
  skip,
}, async () => {
  using namespace = Namespace.make({ loopback: 'down' });
  const { listener, speaker } = namespace.run(() => ({
    listener: openRoute(native, RTMGRP_LINK),
    speaker: openRoute(native),
  }));
  native.setsockopt(listener, SOL_SOCKET, SO_RCVBUF, new Uint8Array([0, 0, 0x10, 0]));
  const events = collect(listener);
  for (let turn = 0; turn < 2000; turn++) {
    // Lets the reader thread run, and JavaScript not.
    while (turn % 10 === 0 && waitingBytes(namespace) > muchBytes) Atomics.wait(nobody, 0, 0, 1);
    native.send(speaker, linkUp(1, turn % 2 === 0), 0);
  }
  await untilTrue(() => events.length >= 2000);
  const flags = events.map((event) => (event instanceof Uint8Array ? (event[24] ?? 0) & 1 : event));
  assert.deepEqual(
    flags.slice(0, 2000),
    Array.from({ length: 2000 }, (_, turn) => (turn + 1) % 2),
  );
  end(listener, speaker);
});

test('an overrun is one -ENOBUFS, and later events are delivered', { skip }, async () => {
  using namespace = Namespace.make({ loopback: 'down' });
  const { listener, speaker } = namespace.run(() => ({
    listener: openRoute(native, RTMGRP_LINK),
    speaker: openRoute(native),
  }));
  native.setsockopt(listener, SOL_SOCKET, SO_RCVBUF, new Uint8Array(4));
  for (let turn = 0; turn < 50; turn++) native.send(speaker, linkUp(1, turn % 2 === 0), 0);
  const events = collect(listener);
  await untilTrue(() => events.length > 0);
  await sleep(20);
  assert.equal(events.filter((event) => event === -ENOBUFS).length, 1);
  const before = events.length;
  native.send(speaker, linkUp(1, true), 0);
  await untilTrue(() => events.length > before);
  assert.ok(events.at(-1) instanceof Uint8Array);
  end(listener, speaker);
});

test('after unwatch nothing more is delivered, and the descriptor can be watched again', async () => {
  const { fd, address } = openUdp();
  const events = collect(fd);
  native.send(fd, new Uint8Array([1]), 0, address);
  await untilTrue(() => events.length === 1);
  native.send(fd, new Uint8Array([2]), 0, address);
  assert.equal(native.unwatch(fd), 0);
  assert.equal(native.unwatch(fd), -ENOENT);
  await sleep(20);
  assert.deepEqual(events, [new Uint8Array([1])]);
  const again = collect(fd);
  native.send(fd, new Uint8Array([3]), 0, address);
  await untilTrue(() => again.some((event) => event instanceof Uint8Array && event[0] === 3));
  assert.equal(events.length, 1);
  end(fd);
  // The reader thread no longer polls the socket, so that its port is free.
  const next = native.socket(AF_INET, SOCK_DGRAM, 0);
  await untilTrue(() => native.bind(next, address) === 0);
  native.close(next);
});

test('an empty datagram is an event of no bytes', async () => {
  const { fd, address } = openUdp();
  const events = collect(fd);
  native.send(fd, new Uint8Array(0), 0, address);
  await untilTrue(() => events.length === 1);
  assert.deepEqual(events, [new Uint8Array(0)]);
  end(fd);
});

/** A socket that can be sent datagrams of more than the room of the reader, 256 KiB, and one to send them. */
function openUnix(): { readonly fd: number; readonly sender: number; readonly address: Uint8Array } {
  const [fd, sender] = [native.socket(AF_UNIX, SOCK_DGRAM, 0), native.socket(AF_UNIX, SOCK_DGRAM, 0)];
  // The kernel gives a name to a socket that is bound to the family alone.
  assert.equal(native.bind(fd, new Uint8Array([AF_UNIX, 0])), 0);
  const address = new Uint8Array(8);
  assert.equal(native.getsockname(fd, address), address.length);
  native.setsockopt(sender, SOL_SOCKET, SO_SNDBUF, new Uint8Array([0, 0, 0x10, 0]));
  return { fd, sender, address };
}

test('a datagram longer than the room for one is -EMSGSIZE, and later ones are delivered', async () => {
  const { fd, sender, address } = openUnix();
  const events = collect(fd);
  const [most, more] = [new Uint8Array(256 << 10).fill(7), new Uint8Array((256 << 10) + 1)];
  for (const bytes of [more, most, Uint8Array.of(1)])
    assert.equal(native.send(sender, bytes, 0, address), bytes.length);
  await untilTrue(() => events.length >= 3);
  assert.deepEqual(events, [-EMSGSIZE, most, Uint8Array.of(1)]);
  end(fd, sender);
});

test('a watched socket is read on after any number of bytes', async () => {
  const { fd, sender, address } = openUnix();
  let count = 0;
  native.watch(fd, () => {
    count++;
  });
  // More than the reader queues before it waits for JavaScript: 16 MiB.
  const bytes = new Uint8Array(200_000);
  for (let sent = 1; sent <= 100; sent++) {
    native.send(sender, bytes, 0, address);
    await untilTrue(() => count === sent);
  }
  end(fd, sender);
});

test('a second watch of one descriptor, or a 65th watch, is refused', () => {
  const { fd } = openUdp();
  collect(fd);
  assert.equal(
    native.watch(fd, () => {}),
    -EEXIST,
  );
  assert.equal(
    native.watch(-1, () => {}),
    -EBADF,
  );
  const more = Array.from({ length: 63 }, () => openUdp().fd);
  for (const each of more) collect(each);
  const { fd: last } = openUdp();
  assert.equal(
    native.watch(last, () => {}),
    -ENOSPC,
  );
  native.close(last);
  end(fd, ...more);
});

/** The bytes that the listeners to links in a namespace have not read yet. */
function waitingBytes(namespace: Namespace): number {
  const rows = namespace.run(() => readFileSync('/proc/thread-self/net/netlink', 'utf8')).split('\n');
  const groups = `${RTMGRP_LINK}`.padStart(8, '0');
  const listening = rows.map((row) => row.split(/ +/)).filter((row) => row[1] === '0' && row[3] === groups);
  return listening.reduce((sum, [, , , , bytes]) => sum + Number(bytes), 0);
}
