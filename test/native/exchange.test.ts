// What an exchange sends, and what it makes of the replies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadNative, Operation } from '../../src/host/native.ts';
import {
  addressOf,
  EAGAIN,
  EINVAL,
  EMSGSIZE,
  ENOBUFS,
  getLoopback,
  headers,
  linkDump,
  MSG_DONTWAIT,
  NOTHING,
  openRoute,
  openSelfSocket,
  RTM_NEWLINK,
  sendToSelf,
} from './kernel-bytes.ts';

const NLMSG_NOOP = 1;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const LONG_WAIT_MICROS = 5_000_000;

const native = loadNative();

// First in this file: the writer's buffer has not grown yet.
test('a reply longer than the buffer is -EMSGSIZE, and the socket is empty afterwards', () => {
  const fd = openSelfSocket(native, [new Uint8Array(180_000), new Uint8Array(8)]);
  assert.equal(native.submit(Operation.exchange, fd, NOTHING, 0, 0, LONG_WAIT_MICROS), -EMSGSIZE);
  assert.equal(native.receive(fd, new Uint8Array(8), MSG_DONTWAIT), -EAGAIN);
  native.close(fd);
});

test('an exchange returns its datagrams in order, each padded with zeros to four bytes', () => {
  const fd = openSelfSocket(native, [new Uint8Array([1, 2, 3, 4, 5]), new Uint8Array([6, 7, 8])]);
  const reply = native.submit(Operation.exchange, fd, NOTHING, 0, 0, LONG_WAIT_MICROS);
  assert.deepEqual(reply, new Uint8Array([1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 8, 0]));
  native.close(fd);
});

test('a long reply of several datagrams is whole, and the next exchange does not change it', () => {
  const fill = [1, 2, 3, 4];
  const read = () => {
    const fd = openSelfSocket(native);
    native.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, new Uint8Array([0, 0, 8, 0]));
    for (const byte of fill) sendToSelf(native, fd, new Uint8Array(90_000).fill(byte));
    const reply = native.submit(Operation.exchange, fd, NOTHING, 0, 0, LONG_WAIT_MICROS);
    native.close(fd);
    assert.ok(reply instanceof Uint8Array);
    return reply;
  };
  const [first, second] = [read(), read()];
  const expected = Uint8Array.from({ length: 4 * 90_000 }, (_, at) => fill[Math.floor(at / 90_000)] ?? 0);
  for (const reply of [first, second]) assert.ok(Buffer.compare(reply, expected) === 0);
});

test('a send that fails is the result, and what the socket had received is gone', () => {
  const fd = openSelfSocket(native, [new Uint8Array([1, 2, 3, 4])]);
  const tooLong = new Uint8Array(16 << 20);
  for (const split of [0, 8, -8]) {
    if (split !== 0) sendToSelf(native, fd, new Uint8Array([1, 2, 3, 4]));
    const result = native.submit(Operation.exchange, fd, tooLong, split, 0, LONG_WAIT_MICROS);
    assert.ok(typeof result === 'number' && result < 0, `${result}`);
    assert.equal(native.receive(fd, new Uint8Array(8), MSG_DONTWAIT), -EAGAIN);
  }
  native.close(fd);
});

test('a reply of any length is returned whole', () => {
  for (const length of [0, 4, 124, 128, 132, 65_532, 65_536, 65_540]) {
    const datagram = Uint8Array.from({ length }, (_, index) => index % 251);
    const fd = openSelfSocket(native, length === 0 ? [] : [datagram]);
    assert.deepEqual(native.submit(Operation.exchange, fd, NOTHING, 0, 0, LONG_WAIT_MICROS), datagram);
    native.close(fd);
  }
});

test('a reply in time that fits is written to the bytes given for it, and its length is returned', () => {
  const datagram = new Uint8Array([1, 2, 3, 4, 5]);
  const padded = new Uint8Array([1, 2, 3, 4, 5, 0, 0, 0]);
  const exchanged = (reply: Uint8Array | undefined) => {
    const fd = openSelfSocket(native, [datagram]);
    const outcome = native.submit(Operation.exchange, fd, NOTHING, 0, 0, LONG_WAIT_MICROS, reply);
    native.close(fd);
    return outcome;
  };
  const room = new Uint8Array(9).fill(9);
  assert.equal(exchanged(room), 8);
  assert.deepEqual(room, new Uint8Array([...padded, 9]));
  const exact = new Uint8Array(8);
  assert.equal(exchanged(exact), 8);
  assert.deepEqual(exact, padded);
  const small = new Uint8Array(7).fill(9);
  assert.deepEqual(exchanged(small), padded);
  assert.deepEqual(small, new Uint8Array(7).fill(9));
  assert.deepEqual(exchanged(undefined), padded);
  assert.equal(exchanged(8 as never), -EINVAL);
});

test('an exchange without a reply returns empty bytes, or the length 0', () => {
  const fd = openRoute(native);
  assert.deepEqual(native.submit(Operation.exchange, fd, NOTHING, 0, 0, LONG_WAIT_MICROS), NOTHING);
  const room = new Uint8Array(8);
  assert.equal(native.submit(Operation.exchange, fd, NOTHING, 0, 0, LONG_WAIT_MICROS, room), 0);
  native.close(fd);
});

test('a split exchange sends two messages and gathers the replies to both', () => {
  const fd = openRoute(native);
  const first = getLoopback(11);
  const bytes = new Uint8Array([...first, ...linkDump(12)]);
  const reply = native.submit(Operation.exchange, fd, bytes, first.length, 0, LONG_WAIT_MICROS);
  assert.ok(reply instanceof Uint8Array);
  const sequences = new Set(headers(reply).map((header) => header.sequence));
  assert.deepEqual([...sequences], [11, 12]);
  native.close(fd);
});

test('the halves of an exchange are sent as they are, and the second not after a failed first', () => {
  const [fd, other] = [openSelfSocket(native), openSelfSocket(native)];
  assert.equal(native.connect(fd, addressOf(native, other)), 0);
  const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
  const tooLong = new Uint8Array(16 << 20);
  for (const [sent, split, arriving] of [
    [bytes, 3, [3, 5]],
    [bytes, -3, [3, 5]],
    [bytes, 9, [8]],
    [bytes, -9, [8]],
    [tooLong, tooLong.length - 8, []],
  ] as const) {
    const reply = native.submit(Operation.exchange, fd, sent, split, 0, LONG_WAIT_MICROS);
    assert.deepEqual(reply, sent === bytes ? NOTHING : -EMSGSIZE);
    const out = new Uint8Array(16);
    for (const length of arriving) assert.equal(native.receive(other, out, MSG_DONTWAIT), length);
    assert.equal(native.receive(other, out, MSG_DONTWAIT), -EAGAIN);
  }
  native.close(fd);
  native.close(other);
});

test('with a negative split a reply to the first message withholds the second', () => {
  const fd = openRoute(native);
  const noop = new Uint8Array(16);
  new DataView(noop.buffer).setUint32(0, noop.length, true);
  new DataView(noop.buffer).setUint16(4, NLMSG_NOOP, true);
  for (const [first, expected] of [
    [getLoopback(11), [11]],
    [noop, [12]],
  ] as const) {
    const bytes = new Uint8Array([...first, ...getLoopback(12)]);
    const reply = native.submit(Operation.exchange, fd, bytes, -first.length, 0, LONG_WAIT_MICROS);
    assert.ok(reply instanceof Uint8Array);
    assert.deepEqual(
      headers(reply).map(({ sequence }) => sequence),
      expected,
    );
  }
  native.close(fd);
});

test('replies lost to a full socket surface as -ENOBUFS, and the next exchange is clean', () => {
  const fd = openRoute(native);
  native.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, new Uint8Array(4));
  const request = getLoopback(1);
  const many = new Uint8Array(request.length * 200);
  for (let index = 0; index < 200; index++) many.set(request, index * request.length);
  assert.equal(native.submit(Operation.exchange, fd, many, 0, 0, LONG_WAIT_MICROS), -ENOBUFS);
  const reply = native.submit(Operation.exchange, fd, getLoopback(2), 0, 0, LONG_WAIT_MICROS);
  assert.ok(reply instanceof Uint8Array);
  assert.deepEqual(headers(reply), [{ type: RTM_NEWLINK, sequence: 2 }]);
  native.close(fd);
});
