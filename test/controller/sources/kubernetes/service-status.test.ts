// The addresses that the status of a Service has, and the request that writes them.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { statusPatch, wantedIngress } from '../../../../src/controller/sources/kubernetes/service-status.ts';
import { type Address, parseAddress } from '../../../../src/state/address.ts';
import { parseServiceKey } from '../../../../src/state/service.ts';

const addresses = (...texts: string[]): Address[] => texts.map(parseAddress);

test('a status has the announced addresses and those it had, as long as they are allocated', () => {
  const isAnnounced = (address: Address) => address === '10.0.0.2';
  const wanted = (allocated: Address[], recorded: Address[], outgoing: Address[] = []) =>
    wantedIngress({ allocated, outgoing, recorded, isAnnounced, isContested: () => false });
  const three = addresses('10.0.0.1', '10.0.0.2', 'fd00::1');
  deepEqual(wanted(three, []), ['10.0.0.2']);
  deepEqual(wanted(three, addresses('fd00::1', '10.0.0.9')), ['10.0.0.2', 'fd00::1']);
  deepEqual(wanted([], addresses('10.0.0.2')), []);
  const [old, next, announced] = [addresses('10.0.0.9'), addresses('10.0.0.1'), addresses('10.0.0.2')];
  deepEqual([wanted(next, old, old), wanted(next, [], old)], [old, []]);
  deepEqual(wanted(announced, old, old), [...announced, ...old]);
});

test('a status has no address on which another Service has a port of this one', () => {
  const [free, contested, other] = addresses('10.0.0.1', '10.0.0.2', '10.0.0.3');
  const isContested = (address: Address) => address === contested || address === other;
  const facts = { allocated: addresses('10.0.0.1', '10.0.0.2'), outgoing: addresses('10.0.0.3') };
  const recorded = addresses('10.0.0.2', '10.0.0.3');
  deepEqual(wantedIngress({ ...facts, recorded, isAnnounced: () => true, isContested }), [free]);
});

test('a status keeps a contested outgoing address until another of its family is announced', () => {
  const [old, old6, next, next6] = addresses('10.0.0.1', 'fd00::1', '10.0.0.2', 'fd00::2');
  const [allocated, outgoing] = [addresses('10.0.0.2', 'fd00::2'), addresses('10.0.0.1', 'fd00::1')];
  const wanted = (...announced: unknown[]) => {
    const isAnnounced = (address: Address) => announced.includes(address);
    const isContested = (address: Address) => outgoing.includes(address);
    return wantedIngress({ allocated, outgoing, recorded: outgoing, isAnnounced, isContested });
  };
  deepEqual(wanted(), [old, old6]);
  deepEqual(wanted(next6), [next6, old]);
  deepEqual(wanted(next, next6), [next, next6]);
});

test('a status is applied with our field manager, and with ipMode only if the server knows it', () => {
  const key = parseServiceKey('demo/web');
  const { path, body } = statusPatch({ key, addresses: addresses('10.0.0.1'), hasIpMode: true });
  equal(path, '/api/v1/namespaces/demo/services/web/status?fieldManager=vipward');
  deepEqual(body, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'demo', name: 'web' },
    status: { loadBalancer: { ingress: [{ ip: '10.0.0.1', ipMode: 'VIP' }] } },
  });
  const old = statusPatch({ key, addresses: addresses('10.0.0.1'), hasIpMode: false });
  deepEqual(JSON.stringify(old.body).includes('ipMode'), false);
});
