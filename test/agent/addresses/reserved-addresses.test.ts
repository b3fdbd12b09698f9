// The broadcast and anycast addresses of a link: none of them may become a VIP.
import { equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { type Carried, ReservedAddresses } from '../../../src/agent/addresses/reserved-addresses.ts';
import { type AddressObject, addressObject } from '../../../src/dialects/addresses/objects.ts';
import type { Kernel } from '../../../src/host/kernel.ts';
import { parseAddress } from '../../../src/state/address.ts';

function carrying(...texts: readonly string[]): Carried {
  const addresses: readonly AddressObject[] = texts.map((text) => {
    const [address = '', length] = text.split('/');
    const place = { prefixLength: Number(length), interfaceIndex: 2, scope: 0 };
    return addressObject({ address: parseAddress(address), ...place }, true);
  });
  const strangers = Map.groupBy(addresses, ({ address }) => address);
  return { addresses, strangers: () => strangers, link: () => undefined, nameOf: () => 'eth0' };
}

function conflict(knownBy: ReservedAddresses, address: string, carried: Carried): string {
  return knownBy.conflict(parseAddress(address), carried) ?? 'none';
}

const rules: readonly (readonly [own: string, conflicts: readonly string[], free: readonly string[]])[] = [
  ['10.77.0.1/24', ['10.77.0.255'], ['10.77.0.0', '10.77.0.254', '10.77.1.255', '10.77.255.255']],
  ['10.77.0.65/26', ['10.77.0.127'], ['10.77.0.64', '10.77.0.63', '10.77.0.255']],
  ['10.77.0.6/31', [], ['10.77.0.7']],
  ['10.77.0.7/32', [], ['10.77.0.6']],
  ['10.77.0.1/8', ['10.255.255.255'], ['10.77.0.255']],
  ['fd77::1/64', ['fd77::'], ['fd77::ffff:ffff:ffff:ffff', 'fd77:0:0:1::']],
  ['fd77::1:1/112', ['fd77::1:0'], ['fd77::', 'fd77::1:ffff']],
  ['fd77::3/127', [], ['fd77::2']],
  ['fd77::3/128', [], ['fd77::2']],
];

for (const [own, conflicts, free] of rules) {
  test(`on the link of ${own} ${conflicts.join() || 'no address'} is reserved`, () => {
    const [knownBy, carried] = [new ReservedAddresses({} as Kernel), carrying(own)];
    const words = new RegExp(`(broadcast|anycast) address of ${own} on eth0$`);
    for (const address of conflicts) match(conflict(knownBy, address, carried), words);
    for (const address of free) equal(conflict(knownBy, address, carried), 'none');
  });
}

test('a link whose prefix changes has another broadcast address', () => {
  const knownBy = new ReservedAddresses({} as Kernel);
  match(conflict(knownBy, '10.77.0.255', carrying('10.77.0.1/24')), /broadcast/);
  equal(conflict(knownBy, '10.77.0.255', carrying('10.77.0.1/16')), 'none');
});
