// The outgoing addresses of a Service, which it keeps beside the one that it requests, and who else may have
// them.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Allocator } from '../../../src/controller/allocate.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { Address } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { pool, serviceObject } from '../fixture.ts';

const [old, next, last] = ['10.77.0.100', '10.77.0.101', '10.77.0.102'] as [Address, Address, Address];
const [web, other] = ['of-web/web', 'of-other/other'] as [ServiceKey, ServiceKey];
const wants = (address: Address) => ({ 'vipward.io/addresses': address });

/** An allocator in which a Service with an address has requested another one. */
function changed() {
  const allocator = new Allocator(parsePools([`p=${pool}`]), new Map());
  const apply = (name: string, address: Address) => {
    const manifest = serviceObject(name, { namespace: `of-${name}`, annotations: wants(address) });
    return allocator.apply({ set: readDocument(manifest).services, remove: [] });
  };
  apply('web', old);
  apply('web', next);
  return { allocator, apply };
}

test('an outgoing address is not given to another Service until it is let go', () => {
  const { allocator, apply } = changed();
  deepEqual([allocator.addressesOf(web), allocator.outgoing.get(web)], [[next], [old]]);
  apply('other', old);
  equal(allocator.refusals.get(other)?.reason, 'AddressTaken');
  deepEqual(allocator.apply({ set: [], remove: [], gone: new Map([[web, [old]]]) }), new Set([old, next]));
  deepEqual([allocator.outgoing.size, allocator.usersOf(old).map(({ key }) => key)], [0, [other]]);
});

test('a Service keeps all its outgoing addresses until let go, and none once removed or refused', () => {
  const again = changed();
  again.apply('web', last);
  deepEqual(again.allocator.outgoing.get(web), [next, old]);
  again.allocator.apply({ set: [], remove: [], gone: new Map([[web, [next, old]]]) });
  deepEqual([...again.allocator.taken()], [last]);
  const back = changed();
  back.apply('web', old);
  deepEqual([[...back.allocator.taken()], back.allocator.outgoing.size], [[next, old].sort(), 1]);
  deepEqual(back.allocator.outgoing.get(web), [next]);
  const away = changed();
  away.allocator.apply({ set: [], remove: [web] });
  deepEqual([[...away.allocator.taken()], away.allocator.outgoing.size], [[], 0]);
  const refused = changed();
  refused.apply('web', '192.0.2.1' as Address);
  deepEqual([[...refused.allocator.taken()], refused.allocator.outgoing.size], [[], 0]);
});

test('a Service keeps an outgoing address that was served, and not one that never was', () => {
  const { allocator, apply } = changed();
  allocator.wasServed = (address) => address === old;
  apply('web', last);
  deepEqual([allocator.addressesOf(web), allocator.outgoing.get(web)], [[last], [old]]);
  // A change of another annotation does not affect this.
  const annotations = { ...wants(last), 'vipward.io/sharing-key': 'k' };
  const manifest = serviceObject('web', { namespace: 'of-web', annotations });
  allocator.apply({ set: readDocument(manifest).services, remove: [] });
  deepEqual([allocator.addressesOf(web), allocator.outgoing.get(web)], [[last], [old]]);
  // Without a request it has the served address again.
  const free = serviceObject('web', { namespace: 'of-web' });
  allocator.apply({ set: readDocument(free).services, remove: [] });
  deepEqual([allocator.addressesOf(web), allocator.outgoing.size], [[old], 0]);
});

test('a Service that was refused meanwhile has its served address again', () => {
  const { allocator, apply } = changed();
  allocator.wasServed = (address) => address === old;
  apply('web', '192.0.2.1' as Address);
  equal(allocator.refusals.get(web)?.reason, 'OutsidePool');
  const free = serviceObject('web', { namespace: 'of-web' });
  allocator.apply({ set: readDocument(free).services, remove: [] });
  deepEqual(allocator.addressesOf(web), [old]);
});

test('a Service that is leaving an address takes no port from the others on it', () => {
  const { allocator } = changed();
  const shared = { annotations: wants(old), namespace: 'of-web', ports: [443] };
  allocator.apply({ set: readDocument(serviceObject('stays', shared)).services, remove: [] });
  deepEqual(
    allocator.usersOf(old).map(({ key }) => key),
    ['of-web/stays', web],
  );
});

test('a restart with both addresses keeps the new one and the outgoing one', () => {
  const { allocator } = changed();
  const anew = new Allocator(parsePools([`p=${pool}`]), allocator.held);
  deepEqual(anew.assigned.get(web), [next, old]);
  const manifest = serviceObject('web', { namespace: 'of-web', annotations: wants(next) });
  anew.apply({ set: readDocument(manifest).services, remove: [] });
  deepEqual([anew.addressesOf(web), anew.outgoing.get(web)], [[next], [old]]);
  const otherwise = new Allocator(parsePools([`p=${pool}`]), new Map([[web, [old]]]));
  otherwise.apply({ set: readDocument(manifest).services, remove: [] });
  deepEqual([otherwise.addressesOf(web), otherwise.outgoing.get(web)], [[next], [old]]);
});

test('an address change because of new pools leaves no outgoing address', () => {
  const manifest = serviceObject('web', { namespace: 'of-web' });
  const { services } = readDocument(manifest);
  const allocator = new Allocator(parsePools([`p=${old}`]), new Map());
  allocator.apply({ set: services, remove: [] });
  allocator.usePools(parsePools([`p=${next}`]));
  allocator.apply({ set: services, remove: [] });
  deepEqual([allocator.addressesOf(web), allocator.outgoing.size], [[next], 0]);
});

test('a Service that removes its sharing key leaves the shared address at once', () => {
  const allocator = new Allocator(parsePools([`p=${pool}`]), new Map());
  const apply = (name: string, key: string | null) => {
    const annotations = key === null ? {} : { 'vipward.io/sharing-key': key };
    const ports = [name === 'web' ? 80 : 81];
    const manifest = serviceObject(name, { namespace: `of-${name}`, annotations, ports });
    allocator.apply({ set: readDocument(manifest).services, remove: [] });
  };
  apply('web', 'k');
  apply('other', 'k');
  deepEqual([allocator.addressesOf(web), allocator.addressesOf(other)], [[old], [old]]);
  apply('web', null);
  deepEqual([allocator.addressesOf(web), allocator.outgoing.size], [[next], 0]);
});

test('a Service that requests ten addresses in turn keeps at most five', () => {
  const { allocator, apply } = changed();
  for (let host = 110; host < 120; host++) apply('web', `10.77.0.${host}` as Address);
  deepEqual(
    [...allocator.taken()].sort(),
    [115, 116, 117, 118, 119].map((host) => `10.77.0.${host}`),
  );
});
