// The annotations of other products: each of their names has the meaning of ours.
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { readAnnotations } from '../../../src/controller/sources/annotations.ts';

/** The names of each meaning, in order of precedence. */
const names = {
  addresses: [
    'vipward.io/addresses',
    'kube-vip.io/loadbalancerIPs',
    'metallb.io/loadBalancerIPs',
    'metallb.universe.tf/loadBalancerIPs',
    'purelb.io/addresses',
    'lbipam.cilium.io/ips',
  ],
  pool: [
    'vipward.io/pool',
    'metallb.io/address-pool',
    'metallb.universe.tf/address-pool',
    'purelb.io/service-group',
  ],
  sharingKey: [
    'vipward.io/sharing-key',
    'metallb.io/allow-shared-ip',
    'metallb.universe.tf/allow-shared-ip',
    'purelb.io/allow-shared-ip',
    'lbipam.cilium.io/sharing-key',
  ],
} as const;

for (const meaning of ['addresses', 'pool', 'sharingKey'] as const)
  test(`of all names for ${meaning} the first one that is not empty counts`, () => {
    const value = (index: number) => `10.77.0.${index}`;
    for (const [first] of names[meaning].entries()) {
      const texts = names[meaning].map((name, index) => [name, index < first ? ' ' : value(index)]);
      const facts = readAnnotations(Object.fromEntries(texts.reverse()), '10.77.0.99');
      deepEqual([[facts[meaning]].flat(), facts.refusal], [[value(first)], null]);
    }
  });
