import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadNative, type Native, Operation, type Outcome } from '../../src/host/native.ts';
import {
  AF_INET,
  AF_NETLINK,
  EAGAIN,
  EBADF,
  EINVAL,
  EMSGSIZE,
  ENOTSOCK,
  headers,
  linkDump,
  MSG_DONTWAIT,
  MSG_TRUNC,
  NLMSG_DONE,
  NOTHING,
  openRoute,
  RTM_NEWLINK,
  SOCK_DGRAM,
} from './kernel-bytes.ts';

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_RCVBUF = 8;
const NO_FD = 987_654;
const O_CLOEXEC = 0o2000000;

const native = loadNative();

test('a netlink socket is bound to a port id that getsockname returns', () => {
  const fd = openRoute(native);
  const address = new Uint8Array(12);
  assert.equal(native.getsockname(fd, address), 12);
  const view = new DataView(address.buffer);
  assert.equal(view.getUint16(0, true), AF_NETLINK);
  assert.notEqual(view.getUint32(4, true), 0);
  assert.equal(native.close(fd), 0);
});

test('send and receive carry a dump on the JavaScript thread', () => {
  const fd = openRoute(native);
  const request = linkDump(7);
  assert.equal(native.send(fd, request, 0), request.length);
  const out = new Uint8Array(65_536);
  const length = native.receive(fd, out, MSG_DONTWAIT);
  assert.ok(length > 0);
  assert.deepEqual(headers(out.subarray(0, length))[0], { type: RTM_NEWLINK, sequence: 7 });
  native.close(fd);
});

test('receive returns the real length of a datagram that did not fit', () => {
  const fd = openRoute(native);
  native.send(fd, linkDump(1), 0);
  assert.ok(native.receive(fd, new Uint8Array(16), MSG_DONTWAIT | MSG_TRUNC) > 16);
  native.close(fd);
});

test('a socket option is set and read back in caller-owned bytes', () => {
  const fd = native.socket(AF_INET, SOCK_DGRAM, 0);
  const value = new Uint8Array(4);
  assert.equal(native.getsockopt(fd, SOL_SOCKET, SO_TYPE, value), 4);
  assert.equal(value[0], SOCK_DGRAM);
  assert.equal(native.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, new Uint8Array([0, 0x40, 0, 0])), 0);
  native.getsockopt(fd, SOL_SOCKET, SO_RCVBUF, value);
  assert.equal(new DataView(value.buffer).getUint32(0, true), 0x8000);
  native.close(fd);
});

test('send takes an address', () => {
  const receiver = native.socket(AF_INET, SOCK_DGRAM, 0);
  const address = new Uint8Array([AF_INET, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(native.bind(receiver, address), 0);
  assert.equal(native.getsockname(receiver, address), 16);
  const sender = native.socket(AF_INET, SOCK_DGRAM, 0);
  assert.equal(native.send(sender, new Uint8Array([1, 2, 3]), 0, address), 3);
  const out = new Uint8Array(8);
  assert.equal(native.receive(receiver, out, 0), 3);
  assert.deepEqual([...out.subarray(0, 3)], [1, 2, 3]);
  native.close(sender);
  native.close(receiver);
});

test('a system call that the kernel refuses returns -errno', () => {
  const file = openSync('/dev/null', 'r');
  const bytes = new Uint8Array(64);
  assert.equal(native.socket(9999, 0, 0), -97);
  assert.equal(native.bind(NO_FD, bytes), -EBADF);
  assert.equal(native.connect(NO_FD, bytes), -EBADF);
  assert.equal(native.getsockname(NO_FD, bytes), -EBADF);
  assert.equal(native.setsockopt(NO_FD, 1, 1, bytes), -EBADF);
  assert.equal(native.getsockopt(NO_FD, 1, 1, bytes), -EBADF);
  assert.equal(native.send(NO_FD, bytes, 0), -EBADF);
  assert.equal(native.receive(NO_FD, bytes, 0), -EBADF);
  assert.equal(native.close(NO_FD), -EBADF);
  assert.equal(native.send(file, bytes, 0), -ENOTSOCK);
  closeSync(file);
});

test('receive from an empty socket returns -EAGAIN, and send of an oversized message -EMSGSIZE', () => {
  const fd = openRoute(native);
  assert.equal(native.receive(fd, new Uint8Array(16), MSG_DONTWAIT), -EAGAIN);
  const wanted = new Uint8Array(16 << 20);
  assert.equal(native.send(fd, wanted, MSG_DONTWAIT), -EMSGSIZE);
  native.close(fd);
});

test('a call with arguments of a wrong type returns -EINVAL and does not crash', () => {
  const loose = native as unknown as Record<keyof Native, (...words: unknown[]) => unknown>;
  const odd = [
    undefined,
    null,
    'x',
    {},
    [],
    Symbol('s'),
    1n,
    new Uint16Array(4),
    new ArrayBuffer(8),
    () => 1,
  ];
  for (const name of Object.keys(native) as (keyof Native)[]) {
    if (name === 'prepare') continue;
    assert.equal(loose[name](), -EINVAL, name);
    for (const word of odd) {
      if (name === 'onResult' && typeof word === 'function') continue;
      assert.equal(loose[name](word, word, word, word, word, word), -EINVAL, name);
    }
  }
});

test('bytes of another kind of array return -EINVAL wherever they stand', () => {
  const fd = openRoute(native);
  const wide = new Uint16Array(8) as unknown as Uint8Array;
  const results = [
    native.bind(fd, wide),
    native.connect(fd, wide),
    native.getsockname(fd, wide),
    native.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, wide),
    native.getsockopt(fd, SOL_SOCKET, SO_TYPE, wide),
    native.attachFilter(fd, wide),
    native.send(fd, wide, MSG_DONTWAIT),
    native.send(fd, NOTHING, MSG_DONTWAIT, wide),
    native.receive(fd, wide, MSG_DONTWAIT),
    native.submit(0, fd, wide, 0, 0, 1000),
  ];
  assert.deepEqual(new Set(results), new Set([-EINVAL]));
  native.close(fd);
});

test('an operation that does not exist returns -EINVAL', () => {
  const operations = Object.values(Operation);
  for (const unknown of [-1, Math.max(...operations) + 1])
    assert.equal(native.submit(unknown as Operation, NO_FD, new Uint8Array(16), 0, 0, 1_000_000), -EINVAL);
});

test('an option whose parts do not fit in its bytes returns -EINVAL', () => {
  const set = (length: number, pointer: number, end: number): Outcome | undefined => {
    // int32 level, int32 name, and the value; at its `pointer` is where it ends.
    const bytes = new Uint8Array(length);
    if (pointer + 16 <= length) new DataView(bytes.buffer).setBigUint64(8 + pointer, BigInt(end), true);
    return native.submit(Operation.setsockopt, NO_FD, bytes, pointer, 0, 1_000_000);
  };
  assert.equal(set(40, 8, 24), -EBADF);
  for (const [length, pointer, end] of [
    [7, 0, 0],
    [40, 25, 0],
    [40, 8, 15],
    [40, 8, 33],
    [40, 8, 2 ** 40],
  ] as const)
    assert.equal(set(length, pointer, end), -EINVAL, `${length} ${pointer} ${end}`);
});

test('a socket is not passed on to programs', () => {
  const fd = openRoute(native);
  const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
  assert.equal(Number.parseInt(flags, 8) & O_CLOEXEC, O_CLOEXEC);
  native.close(fd);
});

test('a filter is attached with all its instructions', () => {
  const fd = openRoute(native);
  // BPF_LD | BPF_IMM, then BPF_RET | BPF_A: the first alone would have no end.
  const program = Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0x16, 0, 0, 0, 0, 0, 0, 0);
  assert.equal(native.attachFilter(fd, program), 0);
  assert.equal(native.attachFilter(fd, program.subarray(0, 8)), -EINVAL);
  native.close(fd);
});

test('calls with empty or detached bytes do not crash', () => {
  const detached = new Uint8Array(8);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  for (const bytes of [NOTHING, detached]) {
    const fd = openRoute(native);
    assert.ok(native.send(fd, bytes, MSG_DONTWAIT) <= 0);
    assert.equal(native.receive(fd, bytes, MSG_DONTWAIT), -EAGAIN);
    assert.ok(native.bind(fd, bytes) < 0);
    assert.ok(native.getsockopt(fd, SOL_SOCKET, SO_TYPE, bytes) <= 0);
    native.close(fd);
  }
});

test('a dump in one exchange ends with NLMSG_DONE', () => {
  const fd = openRoute(native);
  const reply = native.submit(0, fd, linkDump(5), 0, 0, 5_000_000);
  assert.ok(reply instanceof Uint8Array);
  const found = headers(reply);
  assert.equal(found[0]?.type, RTM_NEWLINK);
  assert.deepEqual(found.at(-1), { type: NLMSG_DONE, sequence: 5 });
  native.close(fd);
});
