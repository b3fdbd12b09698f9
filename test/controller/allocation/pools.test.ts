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

test('a pool has no address that can never be a VIP, since it would be given unasked', () => {
  for (const [range, found] of [
    ['127.0.0.5', '127.0.0.0-127.255.255.255'],
    ['0.0.0.0/0', '0.0.0.0-0.255.255.255'],
    ['169.253.255.255-169.254.0.1', '169.254.0.0-169.254.255.255'],
    ['223.255.255.255-224.0.0.0', '224.0.0.0-239.255.255.255'],
    ['255.255.255.255', '255.0.0.0-255.255.255.255'],
    ['::/64', '::-::1'],
    ['fe80::/64', 'fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['ff02::1', 'ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ] as const) {
    const why = `no VIP can be in ${found} (loopback, multicast, link-local)`;
    const message = `--pool p=${range}: ${why}: leave it out`;
    throws(() => parsePools([`p=${range}`]), { message });
  }
  const besides = ['1.0.0.0-126.255.255.255', '128.0.0.0-169.253.255.255', '169.255.0.0-223.255.255.255'];
  parsePools(['p=::2-fe7f::', ...besides, 'fec0::-feff::', '240.0.0.0/5']);
});

test('a pool has a size for each family that it has ranges of', () => {
  const pools = parsePools(['p=10.0.0.0/24', 'q=10.0.1.0/28', 'r=fd00::/64', '10.0.2.0/30', '10.0.3.1']);
  deepEqual(
    pools.map((pool) => Object.fromEntries(poolSizes(pool))),
    [{ 4: 254 }, { 4: 16 }, { 4: 5, 6: 2 ** 64 }],
  );
});
