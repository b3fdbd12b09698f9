// Whose fault a refusal is: of what the kernel says no VIP is refused for the doing of others.
import { equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { disturbanceIn } from '../../../src/agent/rules/blame.ts';
import { Errno } from '../../../src/netlink/message.ts';

for (const name of ['EBUSY', 'EEXIST', 'ENOENT', 'EPERM', 'ENOBUFS', 'IPSET_ERR_BUSY'] as const)
  test(`${name} is nobody’s fault: the kernel is read again`, () => {
    match(disturbanceIn([{ object: null, errno: Errno[name], words: '' }]) ?? '', new RegExp(`^${name}`));
  });

for (const name of ['ENFILE', 'EINVAL', 'IPSET_ERR_HASH_FULL'] as const)
  test(`${name} is about what was asked for`, () => {
    equal(disturbanceIn([{ object: null, errno: Errno[name], words: '' }]), undefined);
  });
