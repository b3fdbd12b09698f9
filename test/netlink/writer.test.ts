// The writer against bytes of other programs, and at every boundary at which its buffer can grow.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NFNL_MSG_BATCH_BEGIN, NFNL_SUBSYS_NFTABLES } from '../../src/netlink/message.ts';
import { attributeList, messagesOf, u32Be } from '../../src/netlink/reader.ts';
import { beginBatch, endBatch, nfgenmsg } from '../../src/netlink/request.ts';
import { NLA_F_NESTED, Writer } from '../../src/netlink/writer.ts';
import { hex, ipAddAddress4, nftAddChain, nftAddElements, wireExample } from './captured.ts';

test('the writer makes the example of the wire format byte for byte', () => {
  const writer = new Writer(1);
  const begin = writer.beginMessage(NFNL_MSG_BATCH_BEGIN, 1, 1);
  nfgenmsg(writer, 0, NFNL_SUBSYS_NFTABLES);
  writer.attributeU32Be(1, 42);
  writer.endMessage(begin);
  const message = writer.beginMessage(0xa0c, 0x401, 2);
  nfgenmsg(writer, 1);
  writer.attributeText(1, 'vf');
  writer.attributeText(2, 'allow4');
  elements(writer, ['0a32000106000000 00500000'], [1]);
  writer.endMessage(message);
  const end = writer.beginMessage(0x11, 5, 3);
  nfgenmsg(writer, 0, NFNL_SUBSYS_NFTABLES);
  writer.endMessage(end);
  assert.deepEqual(writer.bytes, wireExample);
});

test('a batch of two elements has the bytes that nft sends', () => {
  const writer = new Writer();
  beginBatch(writer, 0);
  const message = writer.beginMessage(0xa0c, 0x401, 1);
  nfgenmsg(writer, 1);
  writer.attributeText(1, 'vf');
  writer.attributeText(2, 'allow4');
  writer.attributeU32Be(4, 1);
  elements(writer, ['0a32000106000000 00500000', '0a32000211000000 00350000'], [1, 2]);
  writer.endMessage(message);
  endBatch(writer, 2);
  assert.deepEqual(writer.bytes, nftAddElements);
});

test('a base chain with a negative priority has the bytes that nft sends', () => {
  const writer = new Writer();
  beginBatch(writer, 0);
  const message = writer.beginMessage(0xa03, 0x401, 1);
  nfgenmsg(writer, 1);
  writer.attributeText(1, 'vf');
  writer.attributeText(3, 'prerouting');
  writer.attributeText(7, 'filter');
  writer.attributeU32Be(5, 1);
  const hook = writer.beginNest(4 | NLA_F_NESTED);
  writer.attributeU32Be(1, 0);
  writer.attributeU32Be(2, -310);
  writer.endNest(hook);
  writer.endMessage(message);
  endBatch(writer, 2);
  assert.deepEqual(writer.bytes, nftAddChain);
});

test('a host-endian message has the bytes that ip sends', () => {
  const writer = new Writer();
  const message = writer.beginMessage(20, 0x605, 0x6b05b0e9);
  for (const byte of [2, 32, 0, 254]) writer.u8(byte);
  writer.u32(1);
  writer.attributeBytes(2, Uint8Array.of(10, 50, 0, 1));
  writer.attributeU32(9, 0x76697077);
  writer.attributeU32(8, 0x200);
  writer.attributeBytes(1, Uint8Array.of(10, 50, 0, 1));
  writer.attributeBytes(6, hex('00000000 ffffffff 00000000 00000000'));
  writer.endMessage(message);
  assert.deepEqual(writer.bytes, ipAddAddress4);
});

test('the writer makes the same bytes wherever its buffer has to grow', () => {
  const wide = everything(new Writer(65_536));
  for (let capacity = 0; capacity <= wide.length + 1; capacity++) {
    assert.deepEqual(everything(new Writer(capacity)), wide, `capacity ${capacity}`);
    const writer = new Writer(capacity);
    writer.raw(hex('ffffff'));
    const taken = writer.take();
    assert.deepEqual(everything(writer), wide, `capacity ${capacity}, after another piece`);
    assert.deepEqual(taken, hex('ffffff'));
  }
});

test('attributes are padded with zeroes', () => {
  const writer = new Writer(64);
  writer.attributeText(1, 'ab');
  writer.attributeU8(2, 7);
  writer.attributeU16Be(3, 0x0102);
  writer.attributeBytes(4, new Uint8Array(0));
  assert.deepEqual(writer.bytes, hex('07000100 61620000 05000200 07000000 06000300 01020000 04000400'));
});

test('bytes that were taken do not change when more is written', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3000 })), fc.nat(8000), (pieces, capacity) => {
      const writer = new Writer(capacity);
      const taken = pieces.map((piece) => {
        writer.raw(piece);
        return writer.take();
      });
      assert.equal(writer.length, 0);
      assert.deepEqual(taken, pieces);
    }),
  );
});

test('small pieces share buffers of the given capacity', () => {
  const writer = new Writer(4096);
  const buffers = new Set<ArrayBufferLike>();
  for (let piece = 0; piece < 1000; piece++) {
    writer.raw(new Uint8Array(100));
    buffers.add(writer.take().buffer);
  }
  assert.ok(buffers.size > 1 && buffers.size < 50, `${buffers.size} buffers`);
  for (const { byteLength } of buffers) assert.equal(byteLength, 4096);
});

test('a large piece shares its buffer with no later one', () => {
  const writer = new Writer(4096);
  writer.raw(new Uint8Array(1025));
  const { buffer } = writer.take();
  writer.raw(new Uint8Array(1));
  assert.notEqual(writer.take().buffer, buffer);
});

test('numbers of 64 bits are big-endian to the last bit', () => {
  const writer = new Writer(4);
  writer.attributeU64Be(1, 0x0102030405060708n);
  writer.attributeU64Be(2, 2n ** 64n - 1n);
  assert.deepEqual(writer.bytes, hex('0c000100 0102030405060708 0c000200 ffffffffffffffff'));
});

test('the reader gives back any attributes as they were written, at any first capacity', () => {
  const attribute = fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 70 }));
  fc.assert(
    fc.property(
      fc.array(fc.array(attribute, { maxLength: 8 }), { maxLength: 6 }),
      fc.nat(200),
      (messages, capacity) => {
        const writer = new Writer(capacity);
        for (const [index, attributes] of messages.entries()) {
          const place = writer.beginMessage(0xa00 + index, 0x401, index + 1);
          nfgenmsg(writer, 1, 0xabcd);
          for (const [type, value] of attributes) writer.attributeBytes(type, value);
          writer.endMessage(place);
        }
        const read = [...messagesOf(writer.bytes)];
        assert.deepEqual(
          read.map(({ payload }) =>
            [...attributeList(payload.subarray(4))].map(([type, value]) => [type, value]),
          ),
          messages,
        );
        assert.deepEqual(
          read.map(({ type, flags, sequence, portId, payload }) => [
            ...[type, flags, sequence, portId],
            u32Be(payload),
          ]),
          messages.map((_, index) => [0xa00 + index, 0x401, index + 1, 0, 0x0100abcd]),
        );
      },
    ),
  );
});

/** One of everything, each of an odd size where possible, so that every boundary is met. */
function everything(writer: Writer): Uint8Array {
  const message = writer.beginMessage(0x1234, 0x5678, 0x9abcdef0);
  writer.u8(1);
  writer.u16Be(0x0203);
  writer.u8(4);
  writer.u16Be(0x0607);
  writer.u16Be(5);
  writer.u32(0x06070809);
  const outer = writer.beginNest(1 | NLA_F_NESTED);
  writer.attributeU8(2, 0x11);
  writer.attributeU16Be(3, 0x2233);
  writer.attributeU32(4, 0x44556677);
  writer.attributeU32Be(5, 0x44556677);
  writer.attributeU64Be(6, 0x8899aabbccddeeffn);
  const inner = writer.beginNest(7);
  writer.attributeBytes(
    8,
    Uint8Array.from({ length: 37 }, (_, index) => index + 1),
  );
  writer.attributeText(9, 'a name of an odd length');
  writer.attributeLatin1(10, '\0\x80\xff\x0a\x7f');
  writer.endNest(inner);
  writer.raw(Uint8Array.from({ length: 41 }, (_, index) => 200 - index));
  writer.endNest(outer);
  writer.endMessage(message);
  return writer.bytes;
}

function elements(writer: Writer, keys: readonly string[], types: readonly number[]): void {
  const list = writer.beginNest(3 | NLA_F_NESTED);
  for (const [index, key] of keys.entries()) {
    const item = writer.beginNest((types[index] ?? 1) | NLA_F_NESTED);
    const nest = writer.beginNest(1 | NLA_F_NESTED);
    writer.attributeBytes(1, hex(key));
    writer.endNest(nest);
    writer.endNest(item);
  }
  writer.endNest(list);
}
