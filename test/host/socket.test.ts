// How sockets are opened: which options, in which order, and what a refusal becomes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Operation } from '../../src/host/native.ts';
import {
  checked,
  linkAddress,
  openHearing,
  openNetlink,
  openPacket,
  SystemCallError,
} from '../../src/host/socket.ts';
import { hex } from '../netlink/captured.ts';
import { recordedNative } from './recorded-native.ts';

test('a netlink socket gets its options, is bound, and only then joins its groups', () => {
  const native = recordedNative();
  assert.deepEqual(openNetlink(native, 12, [7, 9]), { fd: 100, portId: 42 });
  const [send, receive] = [64 << 20, 8 << 20];
  assert.deepEqual(native.calls, [
    'socket 16 3 12',
    'setsockopt 100 270 11 1',
    'setsockopt 100 270 10 1',
    'setsockopt 100 270 12 1',
    `setsockopt 100 1 32 ${send}`,
    `setsockopt 100 1 33 ${receive}`,
    `bind 100 ${'10000000'.padEnd(24, '0')}`,
    'setsockopt 100 270 1 7',
    'setsockopt 100 270 1 9',
    'getsockname 100',
  ]);
});

test('without the right to exceed the limits a socket asks for buffers within them', () => {
  const native = recordedNative(undefined, { 'setsockopt 100 1 32': -1, 'setsockopt 100 1 33': -1 });
  openNetlink(native, 0);
  assert.ok(native.calls.includes(`setsockopt 100 1 7 ${64 << 20}`));
  assert.ok(native.calls.includes(`setsockopt 100 1 8 ${8 << 20}`));
});

test('the error of a failed call names the call, its errno and the words for it', () => {
  for (const [call, words] of [
    ['socket', 'socket(AF_NETLINK, 12): EPERM: Operation not permitted'],
    ['bind', 'bind(AF_NETLINK): EPERM: Operation not permitted'],
    ['setsockopt 100 270 1 ', 'join netlink group 7: EPERM: Operation not permitted'],
    ['getsockname', 'getsockname(AF_NETLINK): EPERM: Operation not permitted'],
  ] as const) {
    const native = recordedNative(undefined, { [call]: -1 });
    assert.throws(
      () => openNetlink(native, 12, [7]),
      (error) => error instanceof SystemCallError && error.errno === 1 && error.message === words,
    );
  }
});

test('a socket opens without an option that an old kernel does not know', () => {
  const native = recordedNative(undefined, { 'setsockopt 100 270 1': -92 });
  assert.equal(openNetlink(native, 12).fd, 100);
});

test('a socket that cannot be bound is closed', () => {
  const native = recordedNative(undefined, { bind: -1 });
  assert.throws(() => openNetlink(native, 12));
  assert.ok(native.calls.some((call) => /^(submit )?close 100$/.test(call)));
});

test('a packet socket is opened for no protocol, so that it receives nothing', () => {
  const native = recordedNative();
  assert.equal(openPacket(native), 100);
  assert.deepEqual(native.calls, ['socket 17 3 0']);
});

test('a packet socket without the right to open it names the capability', () => {
  const native = recordedNative(undefined, { socket: -1 });
  assert.throws(() => openPacket(native), /^Error: socket\(AF_PACKET\): EPERM: .*without CAP_NET_RAW/);
  const full = recordedNative(undefined, { socket: -24 });
  assert.throws(() => openPacket(full), { call: 'socket(AF_PACKET)', errno: 24 });
  const hearing = { protocol: 0x0806, filter: hex('') };
  assert.throws(() => openHearing(full, hearing, { index: 7, name: 'eth0' }), { call: 'socket(AF_PACKET)' });
});

test('a hearing socket filters before it is bound, and the writer thread has it hear all groups', () => {
  const native = recordedNative();
  const hearing = { protocol: 0x0806, filter: hex('0600 0000 00000000') };
  assert.equal(openHearing(native, hearing, { index: 7, name: 'eth0' }), 100);
  assert.deepEqual(native.calls, [
    'socket 17 3 0',
    'attachFilter 100 0600000000000000',
    'bind 100 1100080607000000000000000000000000000000',
  ]);
  const everyGroup = {
    operation: Operation.setsockopt,
    fd: 100,
    bytes: hex('07010000 01000000 07000000 0200 00000000000000000000'),
    split: 0,
    token: 0,
    waitMicros: 0,
  };
  assert.deepEqual(native.submitted, [everyGroup]);
});

test('a hearing socket that cannot be filtered or bound is closed', () => {
  for (const [call, name] of [
    ['attachFilter', 'setsockopt(SO_ATTACH_FILTER)'],
    ['bind', 'bind(eth0)'],
  ] as const) {
    const native = recordedNative(undefined, { [call]: -19 });
    const hearing = { protocol: 0x0806, filter: hex('0600 0000 00000000') };
    assert.throws(() => openHearing(native, hearing, { index: 7, name: 'eth0' }), { call: name, errno: 19 });
    assert.equal(native.calls.at(-1), 'submit close 100');
    const close = { operation: Operation.close, fd: 100, bytes: hex(''), split: 0, token: 0, waitMicros: 0 };
    assert.deepEqual(native.submitted, [close]);
  }
});

test('a link address has its EtherType in network order and its interface in host order', () => {
  assert.deepEqual(linkAddress(0x0102, 0x0806), hex('1100 0806 02010000 000000000000000000000000'));
});

test('checked returns a result that is no error', () => {
  assert.equal(checked('any', 0), 0);
  assert.equal(checked('any', 7), 7);
});
