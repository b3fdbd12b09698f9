// Addresses and prefixes against the bits written out, the order of integers and the texts of a URL.

import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressBytes,
  compareAddresses,
  formatAddress,
  hostLength,
  isLinkLocal,
  parseAddress,
  parseLegacyPrefix,
  parsePrefix,
  prefixAddress,
  prefixesContain,
  prefixesOverlap,
  prefixLength,
} from '../../src/state/address.ts';

const address = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => parseAddress(text));
const bitsOf = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');

test('a prefix contains the addresses with its first bits, and none of the other family', () => {
  fc.assert(
    fc.property(address, address, fc.integer({ min: 0, max: 32 }), fc.boolean(), (a, b, length, isNear) => {
      const [first, other] = [addressBytes(a), addressBytes(b)];
      // Of two addresses drawn apart hardly any share more than a few bits.
      const near = isNear && first.length === other.length ? Uint8Array.from(first) : other;
      if (near !== other) near[(length >> 3) % near.length] = other[0] ?? 0;
      const [text, wanted] = [bitsOf(near), bitsOf(first)];
      const isIn = text.length === wanted.length && text.slice(0, length) === wanted.slice(0, length);
      const contain = prefixesContain([parsePrefix(`${a}/${length}`)]);
      const asked = near === other ? b : parseAddress(textOf(near));
      equal(contain(asked), isIn);
      equal(contain(a), true);
    }),
  );
});

function textOf(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0)).toString(16),
  );
  return groups.join(':');
}

const bytes16 = fc.array(fc.constantFrom(0, 0, 0, 1, 0xab, 0xff), { minLength: 16, maxLength: 16 });

test('an IPv6 address is written as a URL writes it, and read back', () => {
  fc.assert(
    fc.property(bytes16, (list) => {
      const bytes = Uint8Array.from(list);
      const { hostname } = new URL(`http://[${textOf(bytes)}]/`);
      equal(`[${formatAddress(bytes)}]`, hostname);
      deepEqual(addressBytes(formatAddress(bytes)), bytes);
    }),
  );
});

test('a text that is no address is refused, and so is an IPv4 address in the form of IPv6', () => {
  const wrong = ['', '1.2.3', '1.2.3.4.5', '1.2.3.', '.1.2.3', '1..2.3', '1.2.3.256', '01.2.3.4', '1.2.3.00'];
  wrong.push(
    '1.2.3.4 ',
    '1.2.3.a',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
  );
  wrong.push(
    '12345::',
    'g::',
    ':1::2',
    '1::2:',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:1.2.3.4',
    '1:2::3:4:5:6:1.2.3.4',
    '::1.2.3',
    '1.2.3.4::',
    '::1.2.3.4:5',
    'fe80::1%eth0',
    '::1/128',
    '1:2:3:4:5:6:7:1.2.3.4',
  );
  for (const text of wrong) throws(() => parseAddress(text), { code: 'BadAddress' }, text);
  throws(() => parseAddress('x'.repeat(81)), { message: /, got "x{80}…"$/ });
  for (const text of ['::ffff:1.2.3.4', '::FFFF:102:304', '0:0:0:0:0:ffff:0:0'])
    throws(() => parseAddress(text), { code: 'BadAddress', message: /drop the ::ffff:$/ });
  for (const text of ['::fffe:102:304', '::1:ffff:0:0', '::ff:0:0', '1::ffff:0:0', '::ffff:0:0:0'])
    parseAddress(text);
  deepEqual(['::1.2.3.4', '64:FF9B::1.2.3.4', '0:0::'].map(parseAddress), [
    '::102:304',
    '64:ff9b::102:304',
    '::',
  ]);
});

test('a prefix keeps its first bits, and a wrong length is refused', () => {
  fc.assert(
    fc.property(address, fc.nat(128), (one, length) => {
      const most = hostLength(one);
      const prefix = parsePrefix(`${one}/${Math.min(length, most)}`);
      const kept = bitsOf(addressBytes(one)).slice(0, length).padEnd(most, '0');
      deepEqual(
        [bitsOf(addressBytes(prefixAddress(prefix))), prefixLength(prefix)],
        [kept, Math.min(length, most)],
      );
      equal(parsePrefix(one), `${one}/${most}`);
      equal(parseLegacyPrefix(`${one}/${most}`), `${one}/${most}`);
    }),
  );
  const wrong = [
    '1.2.3.4/',
    '/8',
    '1.2.3.4/33',
    '1.2.3.4/08',
    '1.2.3.4/-1',
    '1.2.3.4/8/8',
    'fd00::/129',
    'fd00::/1000',
  ];
  for (const text of wrong) throws(() => parsePrefix(text), { code: 'BadAddress' }, text);
});

test('a prefix of an API server may have leading zeros, and IPv4 in the form of IPv6', () => {
  const read = [
    '010.001.2.3/08',
    '0.0.0.0/00',
    '::ffff:010.1.2.3/104',
    '::ffff:0:0/96',
    'FD00:00ab::0001/032',
  ];
  const known = ['10.0.0.0/8', '0.0.0.0/0', '10.0.0.0/8', '0.0.0.0/0', 'fd00:ab::/32'];
  deepEqual(read.map(parseLegacyPrefix), known);
  equal(parseLegacyPrefix('::ffff:0:0/95'), '::fffe:0:0/95');
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/33',
    'fd00::/129',
    'x/8',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/8x',
    '1.2.3.256/8',
  ])
    throws(() => parseLegacyPrefix(text), { code: 'BadAddress' }, text);
});

test('addresses are ordered as numbers, and IPv4 comes first', () => {
  const number = (one: string) => BigInt(`0b${bitsOf(addressBytes(parseAddress(one)))}`);
  fc.assert(
    fc.property(address, address, (a, b) => {
      const order =
        hostLength(a) - hostLength(b) || (number(a) < number(b) ? -1 : number(a) > number(b) ? 1 : 0);
      deepEqual([Math.sign(compareAddresses(a, b)), compareAddresses(a, a)], [Math.sign(order), 0]);
    }),
  );
});

test('prefixes overlap if one contains the other, and fe80::/10 is link-local', () => {
  const [wide, narrow, other] = ['10.0.0.0/8', '10.1.0.0/16', '11.0.0.0/8'].map(parsePrefix);
  if (wide === undefined || narrow === undefined || other === undefined) throw new TypeError('three');
  const overlap = [
    prefixesOverlap(wide, narrow),
    prefixesOverlap(narrow, wide),
    prefixesOverlap(wide, other),
  ];
  deepEqual(overlap, [true, true, false]);
  const local = ['fe80::1', 'febf::1', 'fe7f::1', 'fec0::1', '169.254.0.1']
    .map(parseAddress)
    .map(isLinkLocal);
  deepEqual(local, [true, true, false, false, false]);
});
