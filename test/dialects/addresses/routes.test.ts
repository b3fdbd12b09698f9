// The gateways in answers about routes, from messages laid out by hand after linux/rtnetlink.h.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import {
  answerQuestion,
  gatewayQuestions,
  readGateways,
  readOutgoing,
  readSources,
} from '../../../src/dialects/addresses/routes.ts';
import { parseAddress } from '../../../src/state/address.ts';
import { put } from '../../fake-kernel/bytes.ts';
import { hex } from '../../netlink/captured.ts';

function route(...more: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat([new Uint8Array(12), ...more]);
  const bytes = new Uint8Array(16 + body.length);
  new DataView(bytes.buffer).setUint32(0, bytes.length, true);
  new DataView(bytes.buffer).setUint16(4, 24, true);
  bytes.set(body, 16);
  return bytes;
}

const unreachable = hex('24000000 02000001 01000000 00000000 9bffffff 24000000 1a000100 01000000 00000000');

test('the questions ask each family for the way to an address, and for the route behind it', () => {
  const questions = gatewayQuestions().map(({ bytes }) => Buffer.from(bytes).toString('hex'));
  const of4 = (flags: string, address: string) =>
    hex(`24000000 1a000100 01000000 00000000 02200000 00000000 ${flags} 08000100 ${address}`);
  const of6 = (flags: string, address: string) =>
    hex(`30000000 1a000100 01000000 00000000 0a800000 00000000 ${flags} 14000100 ${address}`);
  const both = (of: typeof of4, address: string) => [of('00000000', address), of('00200000', address)];
  deepEqual(
    questions,
    [
      ...both(of4, 'c0000201'),
      ...both(of4, 'c6290004'),
      ...both(of6, '20010db8 00000000 00000000 00000001'),
      ...both(of6, '20010503 ba3e0000 00000000 00020030'),
    ].map((bytes) => Buffer.from(bytes).toString('hex')),
  );
  const [ways, routes] = [false, true].map((isForRoute) =>
    gatewayQuestions().flatMap((question, index) => (question.isForRoute === isForRoute ? [index] : [])),
  );
  deepEqual(
    [ways, routes],
    [
      [0, 2, 4, 6],
      [1, 3, 5, 7],
    ],
  );
});

test('the question about an answer has its source, and only its route tells the interface', () => {
  const bytes = hex('2c000000 1a000100 01000000 00000000 02202000 00000000 00000000');
  const attributes = hex('08000100 c6290004 08000200 0a320009');
  deepEqual(answerQuestion(parseAddress('10.50.0.9')), {
    door: 'rtnetlink',
    bytes: Uint8Array.of(...bytes, ...attributes),
  });
  deepEqual(readOutgoing(Buffer.concat([unreachable, route(), route(put(4, hex('02010000')))])), 0x0102);
  deepEqual(readOutgoing(Buffer.concat([unreachable, route()])), undefined);
});

test('a route gives the source that it prefers, and an error gives none', () => {
  const six = 'fd77000000000000 0000000000000001';
  const preferring = [route(put(7, hex('0a320001'))), route(put(7, hex(six)))];
  deepEqual(readSources(Buffer.concat([unreachable, route(), ...preferring])), ['10.50.0.1', 'fd77::1']);
  deepEqual(readSources(route(put(7, hex('0a3200')))), []);
});

test('a route gives its gateway, one on the link gives none, and neither does an error', () => {
  deepEqual(readGateways(route(put(5, hex('0a320001')))), ['10.50.0.1']);
  deepEqual(readGateways(route(put(5, hex('fe80000000000000 0000000000000001')))), ['fe80::1']);
  deepEqual(readGateways(route(put(4, hex('02000000')))), []);
  deepEqual(readGateways(unreachable), []);
  deepEqual(readGateways(route(put(5, hex('0a3200')))), []);
});

test('a gateway that an ICMP redirect has named is none', () => {
  const redirected = route(put(5, hex('0a320001')));
  redirected.set(hex('00020400'), 24);
  deepEqual(readGateways(Buffer.concat([redirected, route(put(5, hex('0a320002')))])), ['10.50.0.2']);
});

test('a gateway of the other family and the gateway of each next hop are read', () => {
  deepEqual(readGateways(route(put(18, hex('0a00 fe80000000000000 0000000000000002')))), ['fe80::2']);
  const hops = [
    '1000 00 00 02000000 0800 0500 0a320001',
    '1000 00 00 03000000 0800 0500 0a320002',
    '0800 00 00 03000000',
    '1e00 00 00 03000000 1600 1200 0a00 fe80000000000000 0000000000000003 0000',
  ];
  deepEqual(readGateways(route(put(9, hex(hops.join(' '))))), ['10.50.0.1', '10.50.0.2', 'fe80::3']);
  deepEqual(readGateways(route(put(9, hex('0000 00 00 02000000')))), []);
});
