// Which of several addresses that are one VIP's is taken for the one that is held.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { candidates } from '../../../src/agent/addresses/places.ts';
import { type AddressObject, addressObject } from '../../../src/dialects/addresses/objects.ts';
import { parseAddress } from '../../../src/state/address.ts';

const address = parseAddress('10.77.0.100');

function on(interfaceIndex: number, foreign: boolean, prefixLength = 32): AddressObject {
  return addressObject({ address, prefixLength, interfaceIndex, scope: 0 }, foreign);
}

test('ours comes before a stranger’s, and where it is held before elsewhere, whatever their order', () => {
  const [held, ours, theirs, elsewhere] = [on(3, false), on(2, false), on(3, true), on(9, true)];
  for (const found of [
    [held, ours, theirs, elsewhere],
    [elsewhere, theirs, ours, held],
  ]) {
    deepEqual(candidates(found, { address, interfaceIndex: 3 }), [held, ours, theirs]);
  }
  deepEqual(candidates([elsewhere, ours, theirs], undefined), [ours]);
});

test('a stranger’s is what is held only at the same place, and as the same address', () => {
  const at = { address, interfaceIndex: 3 };
  deepEqual(candidates([on(3, true)], at), [on(3, true)]);
  deepEqual(candidates([on(2, true)], at), []);
  deepEqual(candidates([on(3, true, 24)], at), []);
  deepEqual(candidates([on(3, true)], undefined), []);
});
