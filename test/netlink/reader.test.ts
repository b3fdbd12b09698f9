// The reader against corrupted bytes: it never reads past its end, and throws nothing but NetlinkError.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  attributeList,
  attributesOf,
  messagesOf,
  NetlinkError,
  textOf,
  u16,
  u16Be,
  u32,
  u32Be,
  u64Be,
} from '../../src/netlink/reader.ts';
import { addressDump, elementDump, generation, hex, setFull, twoErrors } from './captured.ts';

const captured = [elementDump, setFull, twoErrors, generation, addressDump];

test('the reader gives the messages of several datagrams in order with their headers', () => {
  const read = [...messagesOf(elementDump)];
  assert.deepEqual(
    read.map(({ type, flags, sequence, portId, payload }) => [type, flags, sequence, portId, payload.length]),
    [
      [0xa0c, 2, 0, 0x5b95, 0x5c - 16],
      [0xa0c, 2, 0, 0x5b95, 0x2c - 16],
      [3, 2, 0, 0x5b95, 4],
    ],
  );
});

test('attributes come in order, without their flag bits, and the last of a type wins', () => {
  const bytes = hex('ffffffff 0800 0180 00000001 0500 0140 09000000 0400 0300');
  assert.deepEqual(
    [...attributeList(bytes.subarray(4))].map(([type, value]) => [type, [...value]]),
    [
      [1, [0, 0, 0, 1]],
      [1, [9]],
      [3, []],
    ],
  );
  assert.deepEqual(attributesOf(bytes, 4).get(1), Uint8Array.of(9));
});

test('a value is found by its type, and a missing one is empty', () => {
  const found = attributesOf(hex('0800 0200 76660000 0c00 0480 0500 0100 07000000 0400 0300'));
  assert.deepEqual([found.text(2), found.nest(4).bytes(1), found.bytes(3)], ['vf', hex('07'), hex('')]);
  assert.deepEqual([found.text(5), found.nest(5).has(1), found.bytes(5)], ['', false, hex('')]);
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((type) => found.has(type)),
    [false, true, true, true, false],
  );
  assert.equal(found.get(5), undefined);
});

test('a value is copied without its first bytes, as far as there is room', () => {
  const found = attributesOf(hex('0800 0200 01020304 0400 0300'));
  const target = new Uint8Array(6);
  const counts = [found.copy(2, target, 0), found.copy(2, target, 3, 2), found.copy(2, target, 5, 1)];
  assert.deepEqual([counts, target], [[4, 2, 1], hex('01 02 03 03 04 02')]);
  const none = [found.copy(2, target, 6), found.copy(2, target, 0, 5), found.copy(3, target, 0)];
  assert.deepEqual([none, found.copy(4, target, 0), target], [[0, 0, 0], 0, hex('01 02 03 03 04 02')]);
});

test('the reader finds the elements of a captured dump', () => {
  const keys = [...messagesOf(elementDump)].flatMap(({ type, payload }) =>
    type !== 0xa0c
      ? []
      : [...attributeList(attributesOf(payload, 4).get(3) ?? new Uint8Array())].map(([, item]) =>
          attributesOf(attributesOf(item).get(1) ?? new Uint8Array()).get(1),
        ),
  );
  assert.deepEqual(keys, [hex('0a320002 11000000 00350000'), hex('0a320001 06000000 00500000')]);
});

test('numbers are read in both byte orders, missing bytes as zero, 64 bits rounded', () => {
  const bytes = hex('01 02 03 04 05 06 07 ff');
  assert.deepEqual(
    [u16(bytes), u16Be(bytes), u32(bytes), u32Be(bytes), u32(bytes, 4), u32Be(bytes, 6)],
    [0x0201, 0x0102, 0x04030201, 0x01020304, 0xff070605, 0x07ff0000],
  );
  assert.deepEqual([u16(bytes, 7), u16(bytes, 8), u32(bytes, 6)], [0xff, 0, 0xff07]);
  assert.equal(u64Be(hex('0000000100000002')), 2 ** 32 + 2);
  assert.equal(u64Be(hex('ffffffffffffffff')), 2 ** 64);
});

test('a string ends at its zero, or at the end of its attribute', () => {
  assert.equal(textOf(hex('76660066')), 'vf');
  assert.equal(textOf(hex('7666')), 'vf');
  assert.equal(textOf(new Uint8Array()), '');
});

test('a length that is too small, or larger than the input, is a NetlinkError', () => {
  const whole = hex('14000000 03000200 00000000 955b0000 00000000');
  for (let cut = 1; cut < whole.length; cut++) {
    assert.throws(() => [...messagesOf(whole.subarray(0, cut))], NetlinkError, `cut to ${cut}`);
  }
  for (const length of [0, 1, 15, 21, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const lying = whole.slice();
    new DataView(lying.buffer).setUint32(0, length, true);
    assert.throws(() => [...messagesOf(lying)], NetlinkError, `length ${length}`);
  }
  const two = hex('10000000 03000200 00000000 955b0000 14000000 03000200 00000000 955b0000 00000000');
  assert.deepEqual(
    [...messagesOf(two)].map(({ payload }) => payload.length),
    [0, 4],
  );
  for (let cut = 17; cut < two.length; cut++) {
    assert.throws(() => [...messagesOf(two.subarray(0, cut))], NetlinkError, `the second cut to ${cut}`);
  }
  assert.throws(() => attributesOf(hex('0400 0100 0300 0100')), NetlinkError, 'the last four bytes');
  for (const length of ['0000', '0300', '0900', 'ffff']) {
    assert.throws(() => [...attributeList(hex(`${length} 0100 00000000`))], NetlinkError, length);
    assert.throws(() => attributesOf(hex(`${length} 0100 00000000`)), NetlinkError, length);
    assert.throws(() => attributesOf(hex(`0400 0100 ${length} 0100 00000000`)), NetlinkError, length);
  }
});

test('hostile bytes give values within the input or a NetlinkError', () => {
  fc.assert(
    fc.property(
      hostileBytes(),
      fc.integer({ min: -70_000, max: 70_000 }),
      fc.nat(255),
      (bytes, offset, canary) => {
        // The same bytes between others: what lies around must not change what is read.
        const around = new Uint8Array(bytes.length + 256).fill(canary);
        around.set(bytes, 128);
        const inside = around.subarray(128, 128 + bytes.length);
        const apart = readAll(bytes, offset);
        assert.deepEqual(readAll(inside, offset), apart);
      },
    ),
    { numRuns: 3000 },
  );
});

/** What the kernel really sends, with some bytes changed and the end cut off; or anything. */
function hostileBytes(): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 3, 4, 0x7f, 0x80, 0xff)));
  const changed = fc
    .tuple(fc.constantFrom(...captured), fc.array(change, { maxLength: 6 }), fc.nat(300))
    .map(([whole, changes, cut]) => {
      const bytes = whole.slice(0, Math.max(0, whole.length - Math.max(0, cut - 200)));
      for (const [place, value] of changes) if (bytes.length > 0) bytes[place % bytes.length] = value;
      return bytes;
    });
  return fc.oneof(changed, fc.uint8Array({ maxLength: 100 }));
}

/** Everything that can be read, two levels deep; the place of each value is checked against the input. */
function readAll(bytes: Uint8Array, offset: number): unknown[] {
  const found: unknown[] = [];
  attempt(found, () => {
    for (const { payload, ...header } of messagesOf(bytes)) {
      found.push(header);
      within(bytes, payload);
      for (const skip of [0, 4, 20]) attempt(found, () => list(payload, skip, found, 2));
    }
  });
  attempt(found, () => list(bytes, offset, found, 0));
  return found;
}

function list(bytes: Uint8Array, offset: number, found: unknown[], depth: number): void {
  for (const [type, value] of attributeList(bytes.subarray(offset))) {
    found.push([type, [...value]]);
    within(bytes, value);
    if (depth > 0) attempt(found, () => list(value, 0, found, depth - 1));
  }
}

function attempt(found: unknown[], body: () => void): void {
  try {
    body();
  } catch (error) {
    assert.ok(error instanceof NetlinkError, String(error));
    found.push('refused');
  }
}

function within(outer: Uint8Array, inner: Uint8Array): void {
  assert.equal(inner.buffer, outer.buffer);
  assert.ok(inner.byteOffset >= outer.byteOffset);
  assert.ok(inner.byteOffset + inner.byteLength <= outer.byteOffset + outer.byteLength);
}
