// The addresses that are shared under a key, for as long as a Service shares them.

import { deepEqual } from 'node:assert/strict';
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

test('an address that stays shared keeps its place, and takeReleased is null', () => {
  const free = freeOf();
  free.share(a, 'k', [first]);
  free.share(b, 'k', [second]);
  deepEqual(free.takeReleased(), new Set());
  free.share(a, 'k', [first]);
  deepEqual([free.sharedBy('k'), free.takeReleased()], [[first, second], null]);
  free.share(a, 'k', [first, second]);
  deepEqual([free.sharedBy('k'), free.takeReleased()], [[first, second], null]);
});

test('takeReleased is not null for an address that is shared again, and names those released', () => {
  const free = freeOf();
  free.share(a, 'k', [first]);
  free.share(a, null, []);
  free.takeReleased();
  free.share(b, 'k', [first]);
  deepEqual(free.takeReleased(), new Set());
  free.release(second);
  deepEqual([free.takeReleased(), free.takeReleased()], [new Set([second]), null]);
});
