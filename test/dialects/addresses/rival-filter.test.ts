// The filters of the sockets that hear rivals, run as linux/filter.h says, on the frames of a link.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { announcementFrames } from '../../../src/dialects/addresses/announcement.ts';
import { probeFrame } from '../../../src/dialects/addresses/probe.ts';
import { arpFilter, neighborFilter } from '../../../src/dialects/addresses/rival-filter.ts';
import { parseAddress } from '../../../src/state/address.ts';
import { hex } from '../../netlink/captured.ts';

/** What the kernel knows of a packet beside its bytes: skb->pkt_type and the interface. */
interface Packet {
  readonly frame: Uint8Array;
  readonly type: number;
  readonly interfaceIndex: number;
}

/** The bytes that the program lets pass of a packet; reading behind the end of the frame lets none pass. */
function passed(program: Uint8Array, { frame, type, interfaceIndex }: Packet): number {
  const code = new DataView(program.buffer);
  const data = new DataView(frame.buffer, frame.byteOffset, frame.length);
  let loaded = 0;
  for (let at = 0; at < program.length; at += 8) {
    const [operation, k] = [code.getUint16(at, true), code.getInt32(at + 4, true)];
    const jump = (is: boolean): number => code.getUint8(at + (is ? 2 : 3)) * 8;
    const width = { 32: 4, 40: 2, 48: 1 }[operation] ?? 0;
    if (operation === 0x06) return k;
    else if (operation === 0x15) at += jump(loaded === k);
    else if (operation === 0x45) at += jump((loaded & k) !== 0);
    else if (width > 0 && k === -0x1000 + 4) loaded = type;
    else if (width > 0 && k === -0x1000 + 8) loaded = interfaceIndex;
    else if (width === 0 || k < 0) assert.fail(`instruction ${operation} ${k}`);
    else if (k + width > frame.length) return 0;
    else if (width === 4) loaded = data.getInt32(k);
    else loaded = width === 2 ? data.getUint16(k) : data.getUint8(k);
  }
  return assert.fail('the program has no end');
}

const mac = hex('02005e105712');
const frames = (text: string) => [
  probeFrame(parseAddress(text), mac),
  ...announcementFrames(parseAddress(text), mac),
];
/** The reply to a probe, and an unasked advertisement: what probe.test.ts reads. */
const reply = hex(`02005e100001 02005e105712 0806
  0001 0800 06 04 0002 02005e105712 0a320001 02005e100001 00000000`);
const [probe4, request4, reply4] = frames('10.50.0.1');
const [probe6, advertisement] = frames('fd00::1');
assert.ok(probe4 && request4 && reply4 && probe6 && advertisement);

const passes = (program: Uint8Array, frame: Uint8Array, more: Partial<Packet> = {}): boolean => {
  const bytes = passed(program, { frame, type: 1, interfaceIndex: 7, ...more });
  if (bytes !== 0) assert.equal(bytes, 0xffff);
  return bytes !== 0;
};

for (const [family, program, wanted, others] of [
  [
    'ARP',
    arpFilter(7),
    [reply, probe4],
    [
      ...[request4, reply4, reply.with(21, 3), probe4.with(21, 3)],
      ...[38, 39, 40, 41].map((byte) => reply.with(byte, 1)),
      ...[28, 29, 30, 31].map((byte) => probe4.with(byte, 1)),
    ],
  ],
  [
    'IPv6',
    neighborFilter(7),
    [advertisement, probe6, advertisement.with(58, 0xbf)],
    [
      advertisement.with(58, 0x60),
      advertisement.with(54, 134),
      probe6.with(54, 133),
      ...[advertisement, probe6].flatMap((frame) => [frame.with(21, 254), frame.with(20, 17)]),
      ...Array.from({ length: 16 }, (_, byte) => probe6.with(22 + byte, 1)),
    ],
  ],
] as const) {
  test(`the ${family} filter passes answers and probes whole, and no other frame`, () => {
    for (const frame of wanted) assert.ok(passes(program, frame));
    for (const [index, frame] of others.entries()) assert.ok(!passes(program, frame), `frame ${index}`);
  });

  test(`the ${family} filter passes only frames for the host that came in on the interface itself`, () => {
    for (const frame of wanted) {
      // PACKET_HOST, PACKET_BROADCAST and PACKET_MULTICAST pass, PACKET_OTHERHOST does not.
      const types = [0, 1, 2, 3].map((type) => passes(program, frame, { type }));
      assert.deepEqual(types, [true, true, true, false]);
      assert.ok(!passes(program, frame, { interfaceIndex: 8 }));
      assert.ok(!passes(program, frame.subarray(0, 21)));
    }
  });
}
