import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { loadNative, Operation, type Outcome } from '../../src/host/native.ts';
import { Gate, LOCK_EX } from './gate.ts';
import {
  AF_INET,
  EAGAIN,
  EBADF,
  EINVAL,
  getLoopback,
  headers,
  linkDump,
  MSG_DONTWAIT,
  NOTHING,
  openRoute,
  openSelfSocket,
  optionBytes,
  SOCK_DGRAM,
  sendToSelf,
} from './kernel-bytes.ts';
import { standsStill } from './thread.ts';

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const LONG_WAIT_MICROS = 5_000_000;
const NO_FD = 987_654;
const MOST_WAITING = 1024;
const EXFULL = 54;

const native = loadNative();

test('prepare changes no answer, and the writer thread comes to rest if nothing follows', async () => {
  const fd = openRoute(native);
  for (let sequence = 1; sequence <= 500; sequence++) {
    if (sequence % 3 !== 0) assert.equal(native.prepare(), 0);
    const reply = native.submit(Operation.exchange, fd, getLoopback(sequence), 0, 0, LONG_WAIT_MICROS);
    assert.ok(reply instanceof Uint8Array);
    assert.equal(headers(reply)[0]?.sequence, sequence);
    if (sequence % 50 === 0) await pause(1);
  }
  native.close(fd);
  native.prepare();
  await standsStill('vipward-writer');
});

test('the result of an operation that is not in time comes later with its token', async () => {
  using gate = new Gate(native);
  const late = nextResults(1);
  const before = performance.now();
  assert.equal(native.submit(Operation.flock, gate.fd, NOTHING, LOCK_EX, 41, 2000), undefined);
  // Only this thread can open the gate, so a submit that waited longer would never return.
  assert.ok(performance.now() - before >= 2);
  gate.open();
  assert.deepEqual(await late, [[41, 0]]);
});

test('operations wait for a blocked one before them, and results keep the order of submission', async () => {
  using gate = new Gate(native);
  const fd = openRoute(native);
  const late = nextResults(4);
  native.submit(Operation.flock, gate.fd, NOTHING, LOCK_EX, 1, 0);
  const request = linkDump(9);
  native.submit(Operation.exchange, fd, request, 0, 2, 0);
  request.fill(0xff); // The bytes were copied: the caller may reuse them.
  native.submit(Operation.close, fd, NOTHING, 0, 3, 0);
  native.submit(Operation.close, fd, NOTHING, 0, -4, 1000);
  gate.open();
  const results = await late;
  assert.deepEqual(
    results.map(([token]) => token),
    [1, 2, 3, -4],
  );
  assert.ok(results[1]?.[1] instanceof Uint8Array);
  assert.equal(headers(results[1][1])[0]?.sequence, 9);
  assert.deepEqual([results[2]?.[1], results[3]?.[1]], [0, -EBADF]);
});

test('submit returns a result that is in time although an earlier one is late', async () => {
  using gate = new Gate(native);
  const late = nextResults(1);
  native.submit(Operation.flock, gate.fd, NOTHING, LOCK_EX, 7, 0);
  gate.open();
  assert.equal(native.submit(Operation.close, NO_FD, NOTHING, 0, 8, LONG_WAIT_MICROS), -EBADF);
  assert.deepEqual(await late, [[7, 0]]);
});

test('submit returns -EXFULL when the queue is full', async () => {
  using gate = new Gate(native);
  const late = nextResults(MOST_WAITING + 1);
  // Long enough for the writer to take it, also where other programs take every processor.
  assert.equal(native.submit(Operation.flock, gate.fd, NOTHING, LOCK_EX, 0, 500_000), undefined);
  for (let token = 1; token <= MOST_WAITING; token++) {
    assert.equal(native.submit(Operation.close, NO_FD, NOTHING, 0, token, 0), undefined);
  }
  assert.equal(native.submit(Operation.close, NO_FD, NOTHING, 0, 9999, 0), -EXFULL);
  gate.open();
  const tokens = (await late).map(([token]) => token);
  assert.deepEqual(
    tokens,
    Array.from({ length: MOST_WAITING + 1 }, (_, index) => index),
  );
});

test('the writer thread sets socket options, and a get returns the value', () => {
  const fd = native.socket(AF_INET, SOCK_DGRAM, 0);
  const submit = (operation: Operation, bytes: Uint8Array, split = 0) =>
    native.submit(operation, fd, bytes, split, 0, LONG_WAIT_MICROS);
  const type = submit(Operation.getsockopt, optionBytes(SOL_SOCKET, SO_TYPE, new Uint8Array(16)));
  assert.deepEqual(type, new Uint8Array([SOCK_DGRAM, 0, 0, 0]));
  const size = new Uint8Array([0, 0x40, 0, 0]);
  assert.equal(submit(Operation.setsockopt, optionBytes(SOL_SOCKET, SO_RCVBUF, size)), 0);
  const read = submit(Operation.getsockopt, optionBytes(SOL_SOCKET, SO_RCVBUF, new Uint8Array(4)));
  assert.deepEqual(read, new Uint8Array([0, 0x80, 0, 0]));
  assert.equal(submit(Operation.getsockopt, new Uint8Array(7)), -EINVAL);
  native.close(fd);
});

test('a pointer in an option value leads to the bytes behind it, and one outside is -EINVAL', () => {
  const fd = openSelfSocket(native);
  // struct sock_fprog { u16 len; struct sock_filter *filter } and one instruction: return 0, drop everything.
  const value = new Uint8Array(24);
  const view = new DataView(value.buffer);
  view.setUint16(0, 1, true);
  view.setBigUint64(8, 16n, true);
  value.set([6, 0, 0, 0, 0, 0, 0, 0], 16);
  const bytes = optionBytes(SOL_SOCKET, SO_ATTACH_FILTER, value);
  const result = native.submit(Operation.setsockopt, fd, bytes, 8, 0, LONG_WAIT_MICROS);
  assert.deepEqual(result, value.subarray(16));
  sendToSelf(native, fd, new Uint8Array(8));
  assert.equal(native.receive(fd, new Uint8Array(8), MSG_DONTWAIT), -EAGAIN);
  for (const end of [15n, 25n, 2n ** 63n]) {
    view.setBigUint64(8, end, true);
    const wrong = optionBytes(SOL_SOCKET, SO_ATTACH_FILTER, value);
    assert.equal(native.submit(Operation.setsockopt, fd, wrong, 8, 0, LONG_WAIT_MICROS), -EINVAL);
  }
  native.close(fd);
});

test('submit refuses an unknown operation or descriptor', () => {
  const run = (operation: number) =>
    native.submit(operation as Operation, NO_FD, new Uint8Array(16), 1, 0, LONG_WAIT_MICROS);
  assert.deepEqual([-1, 0, 1, 2, 3, 4, 5].map(run), [-22, -9, -9, -22, -9, -9, -22]);
  assert.equal(native.submit(Operation.exchange, NO_FD, NOTHING, 0, 0, LONG_WAIT_MICROS), -EBADF);
  const bytes = optionBytes(SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(24).with(8, 16));
  assert.equal(native.submit(Operation.setsockopt, NO_FD, bytes, 8, 0, LONG_WAIT_MICROS), -EBADF);
});

function nextResults(count: number): Promise<readonly (readonly [number, Outcome])[]> {
  const results: [number, Outcome][] = [];
  return new Promise((resolve) => {
    native.onResult((token, result) => {
      results.push([token, result]);
      if (results.length === count) resolve(results);
    });
  });
}
