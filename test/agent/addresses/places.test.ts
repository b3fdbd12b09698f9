// Which of several addresses in the kernel is taken for the held address of a VIP.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { candidates } from '../../../src/agent/addresses/places.ts';
import { type AddressObject, addressObject } from '../../../src/dialects/addresses/objects.ts';
import { parseAddress } from '../../../src/state/address.ts';

const address = parseAddress('10.77.0.100');

function on(interfaceIndex: number, foreign: boolean, prefixLength = 32): AddressObject {
  return addressObject({ address, prefixLength, interfaceIndex, scope: 0 }, foreign);
}

test('our address comes before a foreign one, and the held interface first, in any order', () => {
  const [held, ours, theirs, elsewhere] = [on(3, false), on(2, false), on(3, true), on(9, true)];
  for (const found of [
    [held, ours, theirs, elsewhere],
    [elsewhere, theirs, ours, held],
  ]) {
    deepEqual(candidates(found, { address, interfaceIndex: 3 }), [held, ours, theirs]);
  }
  deepEqual(candidates([elsewhere, ours, theirs], undefined), [ours]);
});

test('a foreign address counts as held only on the held interface and as a host address', () => {
  const at = { address, interfaceIndex: 3 };
  deepEqual(candidates([on(3, true)], at), [on(3, true)]);
  deepEqual(candidates([on(2, true)], at), []);
  deepEqual(candidates([on(3, true, 24)], at), []);
  deepEqual(candidates([on(3, true)], undefined), []);
});
