// The addresses that are shared under a key, for as long as a Service shares them.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { FreeAddresses } from '../../../src/controller/allocation/free-addresses.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import type { Address } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';

const [first, second] = ['10.77.0.100' as Address, '10.77.0.101' as Address];
const [a, b] = ['demo/a' as ServiceKey, 'demo/b' as ServiceKey];
const freeOf = () => new FreeAddresses(parsePools(['p=10.77.0.100-10.77.0.103']), () => false);

test('an address is shared until its last Service stops sharing it', () => {
  const free = freeOf();
  free.share(a, 'k', [first]);
  free.share(b, 'k', [first]);
  free.share(a, null, []);
  deepEqual(free.sharedBy('k'), [first]);
  free.share(b, null, []);
  deepEqual(free.sharedBy('k'), []);
});

test('a Service that changes its key shares nothing under the former one', () => {
  const free = freeOf();
  free.share(a, 'k', [first]);
  free.share(a, 'other', [first]);
  deepEqual([free.sharedBy('k'), free.sharedBy('other'), free.sharedBy(null)], [[], [first], []]);
});

test('an address that stays shared keeps its place, and takeBetter is false', () => {
  const free = freeOf();
  free.share(a, 'k', [first]);
  free.share(b, 'k', [second]);
  equal(free.takeBetter(), true);
  free.share(a, 'k', [first]);
  deepEqual([free.sharedBy('k'), free.takeBetter()], [[first, second], false]);
  free.share(a, 'k', [first, second]);
  deepEqual([free.sharedBy('k'), free.takeBetter()], [[first, second], false]);
});

test('takeBetter is true for an address that is shared again', () => {
  const free = freeOf();
  free.share(a, 'k', [first]);
  free.share(a, null, []);
  free.takeBetter();
  free.share(b, 'k', [first]);
  equal(free.takeBetter(), true);
});
