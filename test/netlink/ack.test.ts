// Receipts of the kernel's answers: captured ones, and corrupted ones.
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  describeErrno,
  errnoOf,
  firstErrno,
  type Receipt,
  receiptOf,
  type Step,
} from '../../src/netlink/ack.ts';
import { Errno } from '../../src/netlink/message.ts';
import { messagesOf, NetlinkError } from '../../src/netlink/reader.ts';
import { cappedAcknowledgement, generation, hex, setFull, twoErrors } from './captured.ts';

const ENOENT = 2;
const EPERM = 1;
const ENFILE = 23;
const ERESTART = 85;
const EOPNOTSUPP = 95;
const ENOBUFS = 105;

/** Offset of the first element of the list in the captured message of eleven, and the bytes of each. */
const first = 48;
const stride = 16;
const eleven = Array.from({ length: 11 }, (_, index) => `10.0.0.${index + 1}`);

function step(records: Step<string>['records']): Step<string> {
  return { bytes: new Uint8Array(), split: 0, barrier: 9, records };
}

const listStep = step([{ sequence: 1, objects: eleven, first, stride }]);
const barrier = numbered(generation, 9);

test('the barrier alone means that everything is committed', () => {
  assert.deepEqual(receiptOf(listStep, barrier), []);
});

test('what comes after the barrier is read too', () => {
  const [refused, ...more] = receiptOf(listStep, join(barrier, errorOf({ errno: EPERM, offset: first })));
  assert.deepEqual([refused?.object, refused?.errno, more], ['10.0.0.1', EPERM, []]);
});

test('a barrier shorter than a header is a NetlinkError', () => {
  assert.throws(() => receiptOf(listStep, hex('0c000000 00000000 09000000')), NetlinkError);
});

test('an acknowledgement alone is no commit, nor is the barrier of another step', () => {
  const words = 'the kernel did not answer the whole transaction';
  const expected: Receipt<string> = [{ object: null, errno: ENOBUFS, words }];
  assert.deepEqual(receiptOf(listStep, numbered(cappedAcknowledgement, 1)), expected);
  assert.deepEqual(receiptOf(listStep, numbered(generation, 8)), expected);
  assert.deepEqual(receiptOf(listStep, new Uint8Array()), expected);
});

test('an acknowledged barrier, as of rtnetlink, means a commit too', () => {
  assert.deepEqual(receiptOf(listStep, numbered(cappedAcknowledgement, 9)), []);
});

test('the receipt of a full set names the eleventh element, with the whole message echoed', () => {
  const [refused, ...more] = receiptOf(listStep, join(setFull, barrier));
  assert.deepEqual(more, []);
  assert.equal(refused?.object, '10.0.0.11');
  assert.equal(refused?.errno, ENFILE);
  assert.match(refused?.words ?? '', /it is full/);
});

test('the receipt of a full set names the same element where the echo is capped to the header', () => {
  const receipt = receiptOf(listStep, join(errorOf({ errno: ENFILE, offset: 208, capped: true }), barrier));
  assert.deepEqual(
    receipt.map(({ object }) => object),
    ['10.0.0.11'],
  );
});

test('an error offset at any byte of an element names that element, and any other offset none', () => {
  for (let offset = 0; offset < first + 11 * stride + 40; offset++) {
    const [refused] = receiptOf(listStep, errorOf({ errno: ENFILE, offset, capped: true }));
    const index = Math.floor((offset - first) / stride);
    assert.equal(refused?.object, eleven[index] ?? null, `offset ${offset}`);
  }
});

test('several errors of one batch name their objects in order', () => {
  const names = ['object 1', 'object 2', 'object 3'];
  const apart = names.map((name, index) => ({ sequence: index + 1, objects: [name], first: 0, stride: 0 }));
  for (const records of [apart, [{ sequence: 1, objects: names, first: 0, stride: 0 }]]) {
    const receipt = receiptOf(step(records), join(twoErrors, barrier));
    assert.deepEqual(receipt, [
      { object: 'object 1', errno: ENOENT, words: 'No such file or directory' },
      { object: 'object 3', errno: ENOENT, words: 'No such file or directory' },
    ]);
  }
});

test('an error about the beginning or the end of a batch names no object', () => {
  const single = step([{ sequence: 1, objects: ['the only'], first: 0, stride: 0 }]);
  for (const one of [listStep, single])
    for (const sequence of [0, 2]) {
      const receipt = receiptOf(one, join(errorOf({ errno: ERESTART, sequence, offset: first }), barrier));
      assert.deepEqual(
        receipt.map(({ object, errno }) => [object, errno]),
        [[null, ERESTART]],
      );
    }
});

test('an error without an offset names the object of a message about one, and none of a list', () => {
  const records = [
    { sequence: 1, objects: eleven, first, stride },
    { sequence: 2, objects: ['the only'], first, stride },
  ];
  const receipt = receiptOf(
    step(records),
    join(errorOf({ errno: EPERM, sequence: 1 }), errorOf({ errno: EPERM, sequence: 2 })),
  );
  assert.deepEqual(
    receipt.map(({ object }) => object),
    [null, 'the only'],
  );
});

test("a receipt prefers the kernel's own words to those of libc, capped or not", () => {
  for (const capped of [true, false]) {
    const error = errorOf({ errno: EOPNOTSUPP, text: 'Not today', offset: 20, capped });
    assert.equal(receiptOf(listStep, error)[0]?.words, 'Not today');
  }
  assert.equal(receiptOf(listStep, errorOf({ errno: EOPNOTSUPP }))[0]?.words, 'Operation not supported');
  assert.equal(receiptOf(listStep, errorOf({ errno: 777 }))[0]?.words, '');
});

test('without a barrier the receipt still has each error', () => {
  assert.deepEqual(
    receiptOf(listStep, twoErrors).map(({ errno }) => errno),
    [ENOENT, ENOENT],
  );
});

test('no errno is taken for success', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4095 }), fc.boolean(), (errno, capped) => {
      assert.equal(receiptOf(listStep, join(errorOf({ errno, capped }), barrier))[0]?.errno, errno);
      assert.equal(receiptOf(listStep, errorOf({ errno, capped, sequence: 9 }))[0]?.errno, errno);
    }),
  );
});

test('corrupted answers are a NetlinkError or a refusal, and never a commit', () => {
  const change = fc.tuple(fc.nat(setFull.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 5 }), fc.nat(setFull.length), (changes, length) => {
      const bytes = setFull.slice(0, length);
      for (const [place, value] of changes) if (place < length) bytes[place] = value;
      try {
        const receipt = receiptOf({ ...listStep, barrier: 0x12345678 }, bytes);
        assert.notEqual(receipt.length, 0);
      } catch (error) {
        assert.ok(error instanceof NetlinkError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('errnoOf returns the errno of an error, and 0 for any other message', () => {
  const [error, other, success] = [...messagesOf(join(setFull, generation, cappedAcknowledgement))].map(
    errnoOf,
  );
  assert.equal(error, ENFILE);
  assert.ok(other === 0 && success === 0);
});

test('firstErrno returns the errno of the first error among all messages, and 0 without one', () => {
  assert.equal(firstErrno(join(generation, cappedAcknowledgement, setFull, twoErrors)), ENFILE);
  assert.equal(firstErrno(join(generation, cappedAcknowledgement)), 0);
  assert.equal(firstErrno(new Uint8Array()), 0);
});

test('the numbers of errnos are those of libc', () => {
  const ofLibc: Readonly<Record<string, number>> = constants.errno;
  for (const [name, errno] of Object.entries(Errno))
    if (!name.startsWith('IPSET_') && name !== 'ERESTART') assert.equal(errno, ofLibc[name], name);
});

test('describeErrno gives the name and words of an errno, or the number of an unknown one', () => {
  assert.equal(describeErrno(ENOENT), 'ENOENT: No such file or directory');
  assert.equal(describeErrno(ENOENT, 'gone'), 'ENOENT: gone');
  assert.equal(describeErrno(777), 'errno 777');
});

interface ErrorShape {
  readonly errno: number;
  readonly sequence?: number;
  readonly offset?: number;
  readonly text?: string;
  readonly capped?: boolean;
}

/** struct nlmsgerr as netlink_ack() of net/netlink/af_netlink.c lays it out, made without the writer. */
function errorOf({ errno, sequence = 1, offset, text, capped = false }: ErrorShape): Uint8Array {
  const echoed = capped ? 16 : 40;
  const tlvs: Uint8Array[] = [];
  if (text !== undefined) tlvs.push(attribute(1, new TextEncoder().encode(`${text}\0`)));
  if (offset !== undefined) tlvs.push(attribute(2, new Uint8Array(Uint32Array.of(offset).buffer)));
  const length = 20 + echoed + tlvs.reduce((sum, tlv) => sum + tlv.length, 0);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, (capped ? 0x100 : 0) | (tlvs.length > 0 ? 0x200 : 0), true);
  view.setUint32(8, sequence, true);
  view.setInt32(16, -errno, true);
  view.setUint32(20, 40, true);
  if (capped) view.setUint32(20, 16 + 4 * 1000, true);
  if (!capped) bytes.fill(0xee, 36, 60);
  let place = 20 + echoed;
  for (const tlv of tlvs) {
    bytes.set(tlv, place);
    place += tlv.length;
  }
  return bytes;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + ((value.length + 3) & ~3));
  bytes.set([4 + value.length, 0, type, 0], 0);
  bytes.set(value, 4);
  return bytes;
}

function numbered(message: Uint8Array, sequence: number): Uint8Array {
  const bytes = message.slice();
  new DataView(bytes.buffer).setUint32(8, sequence, true);
  return bytes;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return hex(parts.flatMap((part) => [...part].map((byte) => byte.toString(16).padStart(2, '0'))).join(''));
}
