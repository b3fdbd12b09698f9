// Probes and their answers against bytes written down by the RFCs, and whatever else may come.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { announcementFrames } from '../../../src/dialects/addresses/announcement.ts';
import {
  macText,
  probeFrame,
  readAdvertisement,
  readArpAnswer,
} from '../../../src/dialects/addresses/probe.ts';
import { formatAddress, parseAddress } from '../../../src/state/address.ts';
import { hex } from '../../netlink/captured.ts';

const mac = hex('02 00 5e 10 00 01');
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

/** The reply to a probe, by RFC 826: to the hardware and the address of who asked, which was nobody's. */
const reply = hex(`02005e100001 02005e105712 0806
  0001 0800 06 04 0002 02005e105712 0a320001 02005e100001 00000000`);
/** The answer by RFC 4861, from behind the IPv6 header on; its checksum is the kernel's to judge. */
const advertisement = hex('88 00 0000 20000000 fd000000000000000000000000000001 02 01 02005e105712');

test('IPv4 is asked for by a request of nobody’s address (RFC 5227 2.1.1)', () => {
  assert.deepEqual(
    probeFrame(parseAddress('10.50.0.1'), mac),
    hex(`ffffffffffff 02005e100001 0806
      0001 0800 06 04 0001 02005e100001 00000000 000000000000 0a320001 ${'00'.repeat(18)}`),
  );
});

test('IPv6 is asked for from nobody’s address, at its solicited-node group (RFC 4862 5.4.2)', () => {
  // The words of pseudo-header and message sum up to 0x38260; folded 0x8263, inverted 0x7d9c.
  assert.deepEqual(
    probeFrame(parseAddress('fd00::1:2:3'), mac),
    hex(`3333ff020003 02005e100001 86dd
      60000000 0018 3a ff
      00000000000000000000000000000000 ff0200000000000000000001ff020003
      87 00 7d9c 00000000 fd000000000000000000000100020003`),
  );
});

test('who answers is named by the hardware that the answer names', () => {
  const stranger = '02:00:5e:10:57:12';
  assert.deepEqual(readArpAnswer(reply), { address: '10.50.0.1', mac: stranger });
  assert.deepEqual(readAdvertisement(advertisement), { address: 'fd00::1', mac: stranger });
});

test('what is no answer to a probe is none', () => {
  for (const frame of [
    ...announcementFrames(parseAddress('10.50.0.1'), mac),
    probeFrame(parseAddress('10.50.0.1'), mac),
  ])
    assert.equal(readArpAnswer(frame), undefined);
  const changed = (from: Uint8Array, place: number, value: number) => from.with(place, value);
  for (const place of [12, 15, 17, 18, 19, 21, 41])
    assert.equal(readArpAnswer(changed(reply, place, 7)), undefined, `byte ${place}`);
  for (const length of [0, 13, 41]) assert.equal(readArpAnswer(reply.subarray(0, length)), undefined);
  // Another type, a code, an answer to somebody's own question, no option, and options that do not add up.
  for (const [place, value] of [
    [0, 135],
    [1, 1],
    [4, 0x60],
    [24, 1],
    [25, 0],
    [25, 2],
  ] as const)
    assert.equal(readAdvertisement(changed(advertisement, place, value)), undefined, `byte ${place}`);
  for (const length of [0, 23, 24, 31])
    assert.equal(readAdvertisement(advertisement.subarray(0, length)), undefined);
});

test('an answer is read whatever its address, its hardware and the options before', () => {
  const options = fc.array(fc.tuple(fc.integer({ min: 3, max: 255 }), fc.integer({ min: 1, max: 4 })));
  fc.assert(
    fc.property(bytes(4), bytes(16), bytes(6), options, (four, six, hardware, before) => {
      const arp = Uint8Array.from(reply);
      arp.set(hardware, 22);
      arp.set(four, 28);
      assert.deepEqual(readArpAnswer(arp), { address: formatAddress(four), mac: macText(hardware) });
      const filler = before.flatMap(([type, units]) => [type, units, ...new Uint8Array(units * 8 - 2)]);
      const message = [...advertisement.subarray(0, 8), ...six, ...filler, 2, 1, ...hardware];
      const expected = { address: formatAddress(six), mac: macText(hardware) };
      assert.deepEqual(readAdvertisement(Uint8Array.from(message)), expected);
    }),
  );
});

test('no bytes of a link make a reader throw or go round for ever', () => {
  const near = (start: Uint8Array) =>
    fc.tuple(fc.integer({ min: 0, max: 100 }), fc.uint8Array({ maxLength: 80 })).map(([length, rest]) => {
      return Uint8Array.from([...start.subarray(0, length), ...rest]);
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), near(reply), near(advertisement)), (any) => {
      for (const read of [readArpAnswer, readAdvertisement]) {
        const answer = read(any);
        if (answer !== undefined) assert.equal(parseAddress(answer.address), answer.address);
      }
    }),
  );
});
