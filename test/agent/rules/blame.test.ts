// Which errors of the kernel refuse a VIP, and which are disturbances by other programs.
import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../../src/agent/ledger.ts';
import { blameOf, disturbanceIn } from '../../../src/agent/rules/blame.ts';
import { Errno } from '../../../src/netlink/message.ts';
import type { Address } from '../../../src/state/address.ts';

for (const name of ['EBUSY', 'EEXIST', 'ENOENT', 'EPERM', 'ENOBUFS', 'IPSET_ERR_BUSY'] as const)
  test(`${name} counts as a disturbance`, () => {
    match(disturbanceIn([{ object: null, errno: Errno[name], words: '' }]) ?? '', new RegExp(`^${name}`));
  });

for (const name of ['ENFILE', 'EINVAL', 'IPSET_ERR_HASH_FULL'] as const)
  test(`${name} counts as no disturbance`, () => {
    equal(disturbanceIn([{ object: null, errno: Errno[name], words: '' }]), undefined);
  });

test('an error that names no object is put down to a VIP that was alone, and to none of several', () => {
  const refused = [{ object: null, errno: Errno.EINVAL, words: 'no' }];
  const blamed = (...keys: readonly string[]): string[] => {
    const targets = new Map(keys.map((key) => [key as Address, undefined]));
    return blameOf(refused, targets, { ledger: new Ledger(), describe: () => '' }).map(({ key }) => key);
  };
  deepEqual(blamed('10.77.0.1'), ['10.77.0.1']);
  deepEqual(blamed('10.77.0.1', '10.77.0.2'), []);
});
