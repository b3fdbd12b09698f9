// Which errors of the kernel refuse a VIP, and which are disturbances by other programs.
import { equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { disturbanceIn } from '../../../src/agent/rules/blame.ts';
import { Errno } from '../../../src/netlink/message.ts';

for (const name of ['EBUSY', 'EEXIST', 'ENOENT', 'EPERM', 'ENOBUFS', 'IPSET_ERR_BUSY'] as const)
  test(`${name} counts as a disturbance`, () => {
    match(disturbanceIn([{ object: null, errno: Errno[name], words: '' }]) ?? '', new RegExp(`^${name}`));
  });

for (const name of ['ENFILE', 'EINVAL', 'IPSET_ERR_HASH_FULL'] as const)
  test(`${name} counts as no disturbance`, () => {
    equal(disturbanceIn([{ object: null, errno: Errno[name], words: '' }]), undefined);
  });
