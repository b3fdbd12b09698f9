// The values of --pool, and the sizes of pools.

import { deepEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { parsePools, poolSizes } from '../../../src/controller/allocation/pools.ts';

test('invalid or overlapping pools are wrong usage', () => {
  for (const items of [
    ['x'],
    ['p=10.0.0.0/33'],
    ['p=10.0.0.9-10.0.0.1'],
    ['p=10.0.0.1-fd00::1'],
    ['p=10.0.0.0/24', 'q=10.0.0.9'],
    ['=1.1.1.1'],
  ]) {
    throws(() => parsePools(items), { code: 'Usage' });
  }
});

test('a pool has a size for each family that it has ranges of', () => {
  const pools = parsePools(['p=10.0.0.0/24', 'q=10.0.1.0/28', 'r=fd00::/64', '10.0.2.0/30', '10.0.3.1']);
  deepEqual(
    pools.map((pool) => Object.fromEntries(poolSizes(pool))),
    [{ 4: 254 }, { 4: 16 }, { 4: 5, 6: 2 ** 64 }],
  );
});
