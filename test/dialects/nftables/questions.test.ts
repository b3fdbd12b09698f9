// Questions to the kernel beside its tables: counters of single elements, and its capabilities.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counterQuestion, readCounters } from '../../../src/dialects/nftables/counters.ts';
import { describe } from '../../../src/dialects/nftables/describe.ts';
import { keyOf } from '../../../src/dialects/nftables/key.ts';
import {
  chainObject,
  elementObject,
  setObject,
  tableObject,
} from '../../../src/dialects/nftables/objects.ts';
import { disturbanceOf, probeStep, readCapabilities } from '../../../src/dialects/nftables/probe.ts';
import { receiptOf } from '../../../src/netlink/ack.ts';
import {
  attributes,
  concat,
  find,
  headerBytes,
  inside,
  message,
  put,
  split,
} from '../../fake-kernel/bytes.ts';
import { fakeKernel } from '../../fake-kernel.ts';
import { hex } from '../../netlink/captured.ts';

test('the counter question has one message for each key, which is no dump', () => {
  const keys = [Uint8Array.of(10, 0, 0, 1), Uint8Array.of(10, 0, 0, 2)];
  const { door, bytes } = counterQuestion('drop4', keys);
  assert.equal(door, 'nfnetlink');
  assert.equal(split(bytes).length, keys.length);
  for (const [index, one] of split(bytes).entries()) {
    assert.deepEqual([one.type, one.flags, one.sequence], [0xa0d, 1, index + 1]);
    const list = attributes(one.bytes, headerBytes);
    const [item] = inside(one.bytes, find(list, 3));
    const key = find(inside(one.bytes, find(inside(one.bytes, item), 1)), 1)?.value;
    assert.deepEqual(key, keys[index]);
  }
});

test('packet counts are read by the position of their key, and an element without a counter has none', () => {
  const counter = (packets: string) =>
    put(7, [put(1, 'counter'), put(2, [put(1, new Uint8Array(8)), put(2, hex(packets))])]);
  const answer = (sequence: number, ...more: Uint8Array[]) =>
    message({ type: 0xa0c, sequence }, [
      put(1, 'vipward'),
      put(2, 'drop4'),
      put(3, [put(1, [put(1, [put(1, Uint8Array.of(10, 0, 0, 1))]), ...more])]),
    ]);
  const error = hex('24000000 02000001 03000000 00000000 feffffff 40000000 0d0a0100 03000000 00000000');
  const reply = concat([
    answer(1, counter('0000000000000007')),
    answer(2),
    error,
    answer(4, counter('0000000100000000')),
  ]);
  assert.deepEqual(
    [...readCounters(reply)],
    [
      [0, 7],
      [3, 2 ** 32],
    ],
  );
});

const all = { refusal: 0, ownerAndPersist: true, setExpressionFlag: true, localAddresses: true };

test('the probe is a batch without an end, so that the kernel keeps nothing of it', () => {
  const step = probeStep();
  const types = split(step.bytes).map(({ type }) => type);
  assert.deepEqual(types, [0x10, 0xa00, 0xa00, 0xa09, 0xa03, 0xa06, 0xa10]);
  const kernel = fakeKernel();
  const receipt = receiptOf(step, kernel.exchange(step.bytes, step.split));
  assert.deepEqual(readCapabilities(receipt), all);
  assert.equal(kernel.text(), '\n');
  assert.equal(kernel.generation, 1);
});

test('each part of the probe that a kernel refuses is a missing capability', () => {
  const probed = (refuse: (type: number, name: string) => number | undefined) => {
    const step = probeStep();
    const kernel = fakeKernel(({ type, name }) => refuse(type, name));
    return readCapabilities(receiptOf(step, kernel.exchange(step.bytes, step.split)));
  };
  assert.deepEqual(
    probed((_type, name) => (name === 'vipward-probe-owner' ? 95 : undefined)),
    { ...all, ownerAndPersist: false },
  );
  assert.deepEqual(
    probed((type) => (type === 0xa09 ? 22 : undefined)),
    { ...all, setExpressionFlag: false },
  );
  assert.deepEqual(
    probed((type) => (type === 0xa06 ? 2 : undefined)),
    { ...all, localAddresses: false },
  );
  assert.equal(probed((type) => (type === 0xa00 ? 1 : undefined)).refusal, 1);
});

test('an error at the beginning of the probe, or no answer at all, means no nf_tables', () => {
  const step = probeStep();
  const begin = hex('24000000 02000001 01000000 00000000 eaffffff 14000000 10000100 01000000 00000000');
  assert.equal(readCapabilities(receiptOf(step, begin)).refusal, 22);
  assert.notEqual(readCapabilities(receiptOf(step, new Uint8Array())).refusal, 0);
});

test('describe gives every object in the words of nft', () => {
  const set = (name: string) => ({ name, version: name });
  const element = (name: string, key: string) => describe(elementObject(set(name), keyOf(hex(key)), null));
  assert.equal(element('vip4', '0a320001'), 'element vip4 { 10.50.0.1 }');
  assert.equal(element('vip6', 'fd000000 00000000 00000000 00000001'), 'element vip6 { fd00::1 }');
  assert.equal(element('allow4', '0a320001 06000000 01bb0000'), 'element allow4 { 10.50.0.1 . tcp . 443 }');
  assert.equal(element('host4', '0a320001 84000000 ffff0000'), 'element host4 { 10.50.0.1 . sctp . 65535 }');
  assert.equal(element('allow4', '0a320001 2f000000 00010000'), 'element allow4 { 10.50.0.1 . 47 . 1 }');
  assert.equal(
    element('src4_16', '0a320001 11000000 00350000 c0000000'),
    'element src4_16 { 10.50.0.1 . udp . 53 . 192.0.0.0 }',
  );
  assert.equal(
    element(
      'src6_64',
      'fd000000 00000000 00000000 00000001 06000000 00500000 fd010000 00000000 00000000 00000000',
    ),
    'element src6_64 { fd00::1 . tcp . 80 . fd01:: }',
  );
  assert.equal(element('icmp4', '0b'), 'element icmp4 { 11 }');
  assert.equal(element('icmp6', '87'), 'element icmp6 { 135 }');
  assert.equal(describe(tableObject(6, 1, true)), 'table inet vipward (flags 6)');
  assert.equal(describe(chainObject('guard4', null, [new Uint8Array(4)], [])), 'chain guard4 (1 rules)');
  const shape = { name: 'vip4', keyType: 7, keyLengthBytes: 4, size: 64, counter: false, timeoutMs: 0 };
  assert.equal(describe(setObject(shape)), 'set vip4 (size 64)');
});

test('a refusal of the probe is an answer, and an error such as ENOMEM is a disturbance', () => {
  const receipt = (errno: number) => [{ object: 'nf_tables', errno, words: '' } as const];
  assert.equal(disturbanceOf([]), undefined);
  for (const errno of [1, 2, 22, 93, 95, 97]) assert.equal(disturbanceOf(receipt(errno)), undefined);
  for (const errno of [4, 11, 12, 16, 85, 105]) assert.equal(disturbanceOf(receipt(errno))?.errno, errno);
  assert.equal(disturbanceOf(receiptOf(probeStep(), new Uint8Array()))?.errno, 105);
});
