// What a prefix contains, against the bits of the addresses written out.

import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressBytes, parseAddress, parsePrefix, prefixesContain } from '../../src/state/address.ts';

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
