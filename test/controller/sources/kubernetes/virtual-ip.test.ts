// The names of VirtualIP objects.
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { virtualIpName } from '../../../../src/controller/sources/kubernetes/virtual-ip.ts';
import { formatAddress, parseAddress } from '../../../../src/state/address.ts';

test('the name of a VirtualIP is its address with every group written out, and is unique', () => {
  equal(virtualIpName(parseAddress('fd77::100')), 'fd77-0-0-0-0-0-0-100');
  equal(virtualIpName(parseAddress('::1')), '0-0-0-0-0-0-0-1');
  equal(virtualIpName(parseAddress('10.77.0.100')), '10.77.0.100');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const name = virtualIpName(formatAddress(bytes));
      equal(parseAddress(name.replaceAll('-', ':')), formatAddress(bytes));
    }),
  );
});
