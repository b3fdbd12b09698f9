// Equal parts of many objects are kept once, and a change of status is not a change of the Service.
import { deepEqual, equal, match, notEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Allocator } from '../../../../src/controller/allocate.ts';
import { parsePools } from '../../../../src/controller/allocation/pools.ts';
import { Users } from '../../../../src/controller/allocation/users.ts';
import { ServiceObjects } from '../../../../src/controller/sources/kubernetes/service-objects.ts';
import {
  cutVirtualIp,
  mostNamed,
  recordsOf,
  sharingCut,
  type VirtualIpRecord,
  virtualIpSpec,
  virtualIpStatus,
} from '../../../../src/controller/sources/kubernetes/virtual-ip.ts';
import type { Address } from '../../../../src/state/address.ts';
import type { ServiceKey } from '../../../../src/state/service.ts';
import { cutService } from './cut-service.ts';

const [web, api, dns] = ['demo/web', 'demo/api', 'demo/dns'] as ServiceKey[];
if (web === undefined || api === undefined || dns === undefined) throw new TypeError('three Services');

function serviceEntry(port: number, ...addresses: readonly string[]) {
  const metadata = { name: 'web', namespace: 'demo', uid: 'u' };
  const status = { loadBalancer: { ingress: addresses.map((ip) => ({ ip })) } };
  return cutService({ metadata, spec: { type: 'LoadBalancer', ports: [{ port }] }, status });
}

test('a change of status leaves the Service the same object, and updates its recorded addresses', () => {
  const objects = new ServiceObjects();
  const follow = (...given: Parameters<typeof serviceEntry>) => {
    return objects.apply({ set: new Map([[web, serviceEntry(...given)]]), remove: [] }).set.length;
  };
  equal(follow(80), 1);
  const before = objects.services.get(web);
  equal(follow(80, '10.0.0.1'), 0);
  equal(objects.services.get(web), before);
  deepEqual(objects.recordedOf(web), ['10.0.0.1']);
  equal(follow(81, '10.0.0.2'), 1);
  deepEqual(objects.recordedOf(web), ['10.0.0.2']);
  equal(follow(81), 0);
  deepEqual(objects.recordedOf(web), []);
  objects.apply({ set: new Map(), remove: [web] });
  deepEqual(objects.recordedOf(web), []);
});

test('a Service with an invalid flag stays as it was last, or has no flags if it is new', () => {
  const entry = (port: number, flags: Readonly<Record<string, string>>, uid = 'u') => {
    const annotations = { 'vipward.io/addresses': '10.0.0.9', ...flags };
    const metadata = { name: 'web', namespace: 'demo', uid, annotations };
    return cutService({ metadata, spec: { type: 'LoadBalancer', ports: [{ port }] } });
  };
  const open = { 'vipward.io/only-service-ports': 'false', 'vipward.io/delivery': 'host' };
  const wrong = { ...open, 'vipward.io/egress': 'yes' };
  const follow = (objects: ServiceObjects, ...given: Parameters<typeof entry>) => {
    const { set } = objects.apply({ set: new Map([[web, entry(...given)]]), remove: [] });
    return set.map(({ ports, onlyServicePorts, delivery, addresses }) => {
      return [ports[0]?.port, onlyServicePorts, delivery, addresses[0]];
    });
  };
  const fresh = new ServiceObjects();
  deepEqual(follow(fresh, 80, wrong), [[80, true, 'forward', '10.0.0.9']]);
  match(fresh.whyOtherwise(web) ?? '', /egress/);
  deepEqual(
    fresh.problems().map(({ service }) => service),
    [web],
  );
  equal(fresh.invalid.size, 0);
  // Changes of a Service that never was valid are followed.
  deepEqual(follow(fresh, 82, wrong), [[82, true, 'forward', '10.0.0.9']]);
  deepEqual(follow(fresh, 80, open), [[80, false, 'host', '10.0.0.9']]);
  equal(fresh.whyOtherwise(web), undefined);
  deepEqual(follow(fresh, 81, wrong), []);
  equal(fresh.services.get(web)?.ports[0]?.port, 80);
  match(fresh.whyOtherwise(web) ?? '', /egress/);
  // Another Service of the same name never was valid.
  deepEqual(follow(fresh, 83, wrong, 'v'), [[83, true, 'forward', '10.0.0.9']]);
  deepEqual(follow(fresh, 84, wrong, 'v'), [[84, true, 'forward', '10.0.0.9']]);
});

test('hasLocal follows the latest traffic policy', () => {
  const objects = new ServiceObjects();
  const follow = (externalTrafficPolicy: string) => {
    const spec = { type: 'LoadBalancer', ports: [{ port: 80 }], externalTrafficPolicy };
    const entry = cutService({ metadata: { name: 'web', namespace: 'demo', uid: 'u' }, spec });
    objects.apply({ set: new Map([[web, entry]]), remove: [] });
    return objects.hasLocal;
  };
  deepEqual([follow('Cluster'), follow('Local'), follow('Local')], [false, true, true]);
  deepEqual([follow('Cluster'), follow('Local')], [false, true]);
  objects.apply({ set: new Map(), remove: [web] });
  equal(objects.hasLocal, false);
});

test('equal conditions of many records are one object', () => {
  const cut = sharingCut();
  const object = (name: string, reason: string) => ({
    metadata: { name, uid: name, generation: 1 },
    spec: { address: name, pool: 'p', services: [] },
    status: { node: name, state: 'serving', conditions: [{ type: 'Ready', status: 'True', reason }] },
  });
  const reasons = ['Announced', 'Announced', 'Moved'];
  const [first, second, third] = reasons.map((reason, index) => cut(object(`10.0.0.${index}`, reason)));
  equal(second?.status['conditions'], first?.status['conditions']);
  deepEqual([first?.status['node'], second?.status['node']], ['10.0.0.0', '10.0.0.1']);
  notEqual(third?.status['conditions'], first?.status['conditions']);
  deepEqual(third?.status['conditions'], [{ type: 'Ready', status: 'True', reason: 'Moved' }]);
});

test('a Service gets the addresses of its own records, and no released one', () => {
  const given = (...records: readonly (readonly [uid: string, state: string])[]) => {
    const all = records.map(([uid, state], index): VirtualIpRecord => {
      const [address, services] = [`10.0.0.${index}` as Address, [{ key: web, uid }]];
      const status = { state, node: 'n1', term: { generation: 1, n: 1 } };
      return { address, uid: 'r', generation: 1, pool: 'p', node: null, services, status };
    });
    const { allocations, owners } = recordsOf(all, () => 'new');
    equal(owners.size, records.length);
    return allocations.get(web);
  };
  deepEqual(given(['new', 'serving'], ['', 'pending']), ['10.0.0.0', '10.0.0.1']);
  deepEqual(given(['old', 'released'], ['new', 'serving']), ['10.0.0.1']);
  deepEqual(given(['old', 'serving'], ['new', 'serving']), ['10.0.0.1']);
  deepEqual(given(['new', 'released']), undefined);
  // A Service that is made anew while no controller rules has the address of the one before.
  deepEqual(given(['old', 'serving']), ['10.0.0.0']);
});

test('Services beyond those that a record can name keep their VIP by their status', () => {
  const crds = readFileSync(new URL('../../../../deploy/chart/templates/crds.yaml', import.meta.url), 'utf8');
  equal(/ services:\n +type: array\n +maxItems: (\d+)/.exec(crds)?.[1], String(mostNamed));
  const address = '10.77.0.105' as Address;
  const keys = Array.from({ length: mostNamed + 76 }, (_, index) => `ns-${index}/web` as ServiceKey);
  const services = keys.map((key) => ({ key, uid: `uid of ${key}` }));
  const spec = virtualIpSpec({ address, pool: 'p', services });
  const record = cutVirtualIp({ metadata: { uid: 'r', generation: 1 }, spec });
  if (record === null) throw new TypeError('a record');
  equal(record.services.length, mostNamed);
  deepEqual(virtualIpSpec({ ...record, services: record.services }), spec);
  const standing = { node: 'n1', term: null, state: 'serving', reason: 'Announced', message: '' } as const;
  match(virtualIpStatus(standing, keys, record, 'now').services, /^ns-0\/web, ns-1\/web, .+ and 76 more$/);
  const { allocations } = recordsOf([record], () => '');
  const allocator = new Allocator(parsePools(['p=10.77.0.100-10.77.0.199']), allocations);
  const set = keys.flatMap((key, index) => {
    const [namespace, name] = key.split('/');
    const metadata = { name, namespace, uid: 'u', annotations: { 'vipward.io/sharing-key': 'k' } };
    const spec = { type: 'LoadBalancer', ports: [{ port: 1 + index }] };
    const status = { loadBalancer: { ingress: [{ ip: address }] } };
    const entry = cutService({ metadata, spec, status });
    return entry.kind === 'service' ? [entry.service] : [];
  });
  allocator.apply({ set, remove: [] });
  deepEqual(new Set(keys.flatMap((key) => allocator.addressesOf(key))), new Set([address]));
  equal(allocator.usersOf(address).length, keys.length);
});

test('Users has the Services of an address, whether one or many', () => {
  const users = new Users();
  const vip = '10.0.0.1' as Address;
  users.add(vip, web);
  users.add(vip, web);
  deepEqual([...users.of(vip)], [web]);
  equal(users.hasNoneBut(vip, web), true);
  equal(users.hasNoneBut(vip, api), false);
  users.add(vip, api);
  users.add(vip, dns);
  deepEqual([...users.of(vip)], [web, api, dns]);
  equal(users.remove(vip, web), true);
  equal(users.remove(vip, web), false);
  users.remove(vip, api);
  deepEqual([users.hasNoneBut(vip, dns), users.hasNoneBut(vip, api)], [true, false]);
  equal(users.remove(vip, dns), true);
  deepEqual([users.has(vip), [...users.of(vip)]], [false, []]);
});
