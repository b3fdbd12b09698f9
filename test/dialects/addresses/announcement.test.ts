// Announcement frames against bytes after the RFCs, and a checksum computed in another way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { announcementFrames } from '../../../src/dialects/addresses/announcement.ts';
import { formatAddress, parseAddress } from '../../../src/state/address.ts';
import { hex } from '../../netlink/captured.ts';

const mac = hex('02 00 5e 10 00 01');

test('IPv4 is announced by a request and a reply (RFC 5227, RFC 5944 4.6), padded to 60 bytes', () => {
  const frames = announcementFrames(parseAddress('10.50.0.1'), mac);
  const padding = '00'.repeat(18);
  assert.deepEqual(frames, [
    hex(`ffffffffffff 02005e100001 0806
      0001 0800 06 04 0001 02005e100001 0a320001 000000000000 0a320001 ${padding}`),
    hex(`ffffffffffff 02005e100001 0806
      0001 0800 06 04 0002 02005e100001 0a320001 ffffffffffff 0a320001 ${padding}`),
  ]);
});

test('IPv6 is announced to all nodes, unsolicited and overriding, with the target link-layer address', () => {
  const frames = announcementFrames(parseAddress('fd00::1'), mac);
  // The words of pseudo-header and message sum up to 0x40371; folded 0x0375, inverted 0xfc8a. tcpdump -vv:
  // "icmp6 sum ok".
  assert.deepEqual(frames, [
    hex(`333300000001 02005e100001 86dd
      60000000 0020 3a ff
      fd000000000000000000000000000001 ff020000000000000000000000000001
      88 00 fc8a 20000000 fd000000000000000000000000000001 02 01 02005e100001`),
  ]);
});

test('IPv6 is announced as by a router where the node routes', () => {
  const [host, router] = [false, true].map((isRouter) =>
    announcementFrames(parseAddress('fd00::1'), mac, isRouter).map((frame) => frame.subarray(56, 60)),
  );
  assert.deepEqual(host, [hex('fc8a 2000')]);
  assert.deepEqual(router, [hex('7c8a a000')]);
});

test('a checksum is folded until it has no carry', () => {
  // The words sum up to 0x4fffc; folded 0x10000, folded again 1, inverted 0xfffe.
  const [frame] = announcementFrames(parseAddress('fd00::1'), hex('0200 ff10 5b8c'));
  assert.deepEqual(frame?.subarray(56, 58), hex('fffe'));
});

test('the checksum of an advertisement is right for every address and hardware address', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(bytes(16), bytes(6), (address, hardware) => {
      const [frame] = announcementFrames(formatAddress(address), hardware);
      assert.ok(frame);
      assert.equal(ones(frame), 0xffffn);
      assert.deepEqual(frame.subarray(22, 38), address);
      assert.deepEqual(frame.subarray(62, 78), address);
      assert.deepEqual(frame.subarray(80, 86), hardware);
      assert.equal(frame[21], 255);
    }),
  );
});

/**
 * RFC 1071 by division: pseudo-header and message as one number of 16-bit digits, modulo 65535, is 0 if it
 * is right.
 */
function ones(frame: Uint8Array): bigint {
  const hop = Buffer.from(frame);
  const pseudo = Buffer.concat([hop.subarray(22, 54), Buffer.from([0, 0, 0, 32, 0, 0, 0, 58])]);
  const whole = BigInt(`0x${Buffer.concat([pseudo, hop.subarray(54)]).toString('hex')}`);
  return whole % 0xffffn === 0n ? 0xffffn : whole % 0xffffn;
}
