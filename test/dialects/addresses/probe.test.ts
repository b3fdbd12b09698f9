// Probes and the frames of rivals, against bytes after the RFCs and against any others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { announcementFrames } from '../../../src/dialects/addresses/announcement.ts';
import {
  macText,
  probeFrame,
  readArpRival,
  readNeighborRival,
} from '../../../src/dialects/addresses/probe.ts';
import { formatAddress, parseAddress } from '../../../src/state/address.ts';
import { hex } from '../../netlink/captured.ts';

const mac = hex('02 00 5e 10 00 01');
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

/** The reply to a probe, by RFC 826: to the hardware address of the prober, and the unspecified address. */
const reply = hex(`02005e100001 02005e105712 0806
  0001 0800 06 04 0002 02005e105712 0a320001 02005e100001 00000000`);
/** The answer by RFC 4861, to all nodes. Its words sum up to 0x45a82; folded 0x5a86, inverted 0xa579. */
const advertisement = hex(`333300000001 02005e105712 86dd
  60000000 0020 3a ff
  fd000000000000000000000000000001 ff020000000000000000000000000001
  88 00 a579 20000000 fd000000000000000000000000000001 02 01 02005e105712`);
const icmpAt = 54;

/** The frame with a right checksum again, so that only the changed byte is wrong. */
function summed(frame: Uint8Array): Uint8Array {
  const summed = Buffer.from(frame);
  summed.writeUInt16BE(0, icmpAt + 2);
  let sum = 58 + frame.length - icmpAt;
  for (let place = 22; place < frame.length; place += 2)
    sum += ((summed[place] ?? 0) << 8) | (summed[place + 1] ?? 0);
  while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
  summed.writeUInt16BE(0xffff - sum, icmpAt + 2);
  return Uint8Array.from(summed);
}

test('an IPv4 probe is a request from the unspecified address (RFC 5227 2.1.1)', () => {
  assert.deepEqual(
    probeFrame(parseAddress('10.50.0.1'), mac),
    hex(`ffffffffffff 02005e100001 0806
      0001 0800 06 04 0001 02005e100001 00000000 000000000000 0a320001 ${'00'.repeat(18)}`),
  );
});

test('an IPv6 probe goes from the unspecified address to the solicited-node group (RFC 4862 5.4.2)', () => {
  // The words of pseudo-header and message sum up to 0x38260; folded 0x8263, inverted 0x7d9c.
  assert.deepEqual(
    probeFrame(parseAddress('fd00::1:2:3'), mac),
    hex(`3333ff020003 02005e100001 86dd
      60000000 0018 3a ff
      00000000000000000000000000000000 ff0200000000000000000001ff020003
      87 00 7d9c 00000000 fd000000000000000000000100020003`),
  );
});

const stranger = '02:00:5e:10:57:12';
const asker = hex('02005e105712');

test('an answer gives a rival with the hardware address that it names', () => {
  assert.deepEqual(readArpRival(reply), { address: '10.50.0.1', mac: stranger, does: 'answer' });
  const odd = summed(Uint8Array.of(...advertisement, 7).with(19, 33));
  assert.deepEqual(readNeighborRival(odd), readNeighborRival(advertisement));
  // With any flag but the solicited one.
  for (const frame of [advertisement, summed(advertisement.with(icmpAt + 4, 0xbf))])
    assert.deepEqual(readNeighborRival(frame), { address: 'fd00::1', mac: stranger, does: 'answer' });
});

test('a probe gives a rival with its hardware address, whatever the link adds behind the frame', () => {
  const four = probeFrame(parseAddress('10.50.0.1'), asker);
  assert.deepEqual(readArpRival(four), { address: '10.50.0.1', mac: stranger, does: 'ask' });
  const six = probeFrame(parseAddress('fd00::1'), asker);
  const rival = { address: 'fd00::1', mac: stranger, does: 'ask' } as const;
  assert.deepEqual(readNeighborRival(six), rival);
  assert.deepEqual(readNeighborRival(Uint8Array.of(...six, 7, 7)), rival);
  // A nonce (RFC 7527), as the kernel sends one.
  const nonced = Uint8Array.of(...six, 14, 1, 1, 2, 3, 4, 5, 6).with(19, 32);
  assert.deepEqual(readNeighborRival(summed(nonced)), rival);
});

test('announcements, other messages and damaged frames give no rival', () => {
  const [four, six] = ['10.50.0.1', 'fd00::1'].map((address) => probeFrame(parseAddress(address), asker));
  assert.ok(four !== undefined && six !== undefined);
  for (const frame of announcementFrames(parseAddress('10.50.0.1'), mac))
    assert.equal(readArpRival(frame), undefined);
  // Byte 28 is of the sender: a host with an address asks for another's to talk to it.
  for (const [frame, places] of [
    [reply, [12, 15, 17, 18, 19, 21, 41]],
    [four, [12, 15, 17, 18, 19, 21, 28]],
  ] as const)
    for (const place of places) assert.equal(readArpRival(frame.with(place, 7)), undefined, `byte ${place}`);
  for (const length of [0, 13, 41]) assert.equal(readArpRival(reply.subarray(0, length)), undefined);
  // Another type, a code, a solicited answer, no option, and options that do not add up.
  for (const [frame, place, value] of [
    [advertisement, icmpAt, 135],
    [advertisement, icmpAt + 1, 1],
    [advertisement, icmpAt + 4, 0x60],
    [advertisement, icmpAt + 24, 1],
    [advertisement, icmpAt + 25, 0],
    [advertisement, icmpAt + 25, 2],
    [advertisement, 12, 8],
    [advertisement, 20, 6],
    [six, icmpAt, 136],
    [six, icmpAt, 143],
    [six, icmpAt + 1, 1],
    [six, 22, 0xfd],
    [six, 37, 1],
  ] as const) {
    const changed = summed(frame.with(place, value));
    assert.equal(readNeighborRival(changed), undefined, `byte ${place} as ${value}`);
  }
  assert.equal(readNeighborRival(advertisement.with(icmpAt + 2, 0)), undefined, 'damaged');
  assert.equal(readNeighborRival(advertisement.with(19, 33)), undefined, 'longer than its frame');
  const short = summed(six.slice(0, icmpAt + 23).with(19, 23));
  assert.equal(readNeighborRival(short), undefined, 'a byte of its address is missing');
  for (const length of [0, 53, 57, icmpAt + 23, icmpAt + 31])
    assert.equal(readNeighborRival(advertisement.subarray(0, length)), undefined);
});

test('an answer is read with any address, any hardware address and any options around', () => {
  const options = fc.array(fc.tuple(fc.integer({ min: 3, max: 255 }), fc.integer({ min: 1, max: 4 })));
  fc.assert(
    fc.property(bytes(4), bytes(16), bytes(6), options, (four, six, hardware, before) => {
      const arp = Uint8Array.from(reply);
      arp.set(hardware, 22);
      arp.set(four, 28);
      const answer = { mac: macText(hardware), does: 'answer' } as const;
      assert.deepEqual(readArpRival(arp), { address: formatAddress(four), ...answer });
      const filler = before.flatMap(([type, units]) => [type, units, ...new Uint8Array(units * 8 - 2)]);
      const own = [...filler, 2, 1, ...hardware, ...filler];
      const message = [...advertisement.subarray(icmpAt, icmpAt + 8), ...six, ...own];
      const frame = Buffer.from([...advertisement.subarray(0, icmpAt), ...message]);
      frame.writeUInt16BE(message.length, 18);
      assert.deepEqual(readNeighborRival(summed(frame)), { address: formatAddress(six), ...answer });
    }),
  );
});

test('no bytes of a link make a reader throw or loop', () => {
  const near = (start: Uint8Array) =>
    fc.tuple(fc.integer({ min: 0, max: 100 }), fc.uint8Array({ maxLength: 80 })).map(([length, rest]) => {
      return Uint8Array.from([...start.subarray(0, length), ...rest]);
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), near(reply), near(advertisement)), (any) => {
      for (const read of [readArpRival, readNeighborRival]) {
        const answer = read(any);
        if (answer !== undefined) assert.equal(parseAddress(answer.address), answer.address);
      }
    }),
  );
});
