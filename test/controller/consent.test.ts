// A Service joins an address of other Services only if it requests it in the same namespace, or by one
// sharing key.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Allocator } from '../../src/controller/allocate.ts';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import type { ServiceManifest } from '../../src/controller/service.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import type { Address } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { type ServiceText, serviceObject } from './fixture.ts';

const pools = parsePools(['p=10.77.0.100-10.77.0.103', 'fd77::100-fd77::103']);
const [first, second] = ['10.77.0.100', '10.77.0.101'] as [Address, Address];
const [a, b] = ['demo/a', 'demo/b'] as [ServiceKey, ServiceKey];
const old = '2020-01-01T00:00:00Z';
const key = { 'vipward.io/sharing-key': 'k' };
const typo = { 'vipward.io/pool': 'typo' };

function manifest(name: string, text: ServiceText = {}): ServiceManifest {
  const [service] = readDocument(serviceObject(name, text)).services;
  ok(service !== undefined);
  return service;
}

/** `a` was refused its address, `b` was given it, and then `a` is valid again. */
function returned(annotations: Record<string, string>, ports: readonly number[]) {
  const allocator = new Allocator(pools, new Map());
  const apply = (service: ServiceManifest) => allocator.apply({ set: [service], remove: [] });
  apply(manifest('a', { annotations, created: old }));
  apply(manifest('a', { annotations: { ...annotations, ...typo }, created: old }));
  apply(manifest('b', { annotations, ports }));
  deepEqual([allocator.addressesOf(a), allocator.addressesOf(b)], [[], [first]]);
  apply(manifest('a', { annotations, created: old }));
  return allocator;
}

test('a Service whose address was given to another meanwhile gets a different one', () => {
  for (const port of [80, 81]) {
    const allocator = returned({}, [port]);
    deepEqual([allocator.addressesOf(a), allocator.addressesOf(b)], [[second], [first]]);
  }
});

test('a Service that comes back shares its address again by its key, unless a port collides', () => {
  deepEqual(returned(key, [81]).addressesOf(a), [first]);
  deepEqual(returned(key, [80]).addressesOf(a), [second]);
});

test('a Service that comes back has its address again if no other was given it', () => {
  const allocator = new Allocator(pools, new Map());
  for (const annotations of [{}, typo, {}])
    allocator.apply({ set: [manifest('a', { annotations })], remove: [] });
  deepEqual(allocator.addressesOf(a), [first]);
});

test('Services whose status has the same address share it even if all other records are lost', () => {
  const recorded = [second];
  const allocator = new Allocator(pools, new Map());
  const both = [manifest('a'), manifest('b', { ports: [81] })].map((one) => ({ ...one, recorded }));
  allocator.apply({ set: both, remove: [] });
  deepEqual([allocator.addressesOf(a), allocator.addressesOf(b)], [[second], [second]]);
});

test('no Service joins an address without consent, and a restart keeps all addresses', () => {
  const text = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
    namespace: fc.constantFrom('x', 'y'),
    address: fc.constantFrom('', '', '10.77.0.101', '10.77.0.102'),
    key: fc.constantFrom('', 'k'),
    pool: fc.constantFrom('', '', 'typo'),
    port: fc.constantFrom(80, 81),
    gone: fc.boolean(),
  });
  const property = fc.property(fc.array(text, { maxLength: 40 }), (steps) => {
    const allocator = new Allocator(pools, new Map());
    for (const { name, namespace, address, port, gone, ...more } of steps) {
      const annotations = {
        ...(address && { 'vipward.io/addresses': address }),
        ...(more.key && { 'vipward.io/sharing-key': more.key }),
        ...(more.pool && { 'vipward.io/pool': more.pool }),
      };
      const set = gone ? [] : [manifest(name, { namespace, annotations, ports: [port] })];
      const remove = gone ? [`${namespace}/${name}` as ServiceKey] : [];
      const before = usersBy(allocator);
      allocator.apply({ set, remove });
      checkConsent(allocator, before);
    }
    const again = new Allocator(pools, new Map(allocator.assigned));
    again.apply({ set: [...allocator.services.values()].reverse(), remove: [] });
    for (const one of allocator.assigned.keys())
      deepEqual(again.addressesOf(one), allocator.addressesOf(one));
  });
  fc.assert(property, { numRuns: 3000 });
});

function usersBy(allocator: Allocator): Map<Address, ReadonlySet<ServiceKey>> {
  const taken = [...allocator.taken()];
  return new Map(taken.map((one) => [one, new Set(allocator.usersOf(one).map((service) => service.key))]));
}

/** A Service that is new on an address has it alone, or with the consent of all others. */
function checkConsent(allocator: Allocator, before: ReadonlyMap<Address, ReadonlySet<ServiceKey>>): void {
  for (const address of allocator.taken()) {
    const users = allocator.usersOf(address);
    const isOneNamespace = users.every(({ namespace }) => namespace === users[0]?.namespace);
    const isOneKey = users.every(
      ({ sharingKey }) => sharingKey !== null && sharingKey === users[0]?.sharingKey,
    );
    ok(users.length > 0 && (isOneNamespace || isOneKey), `${address}: ${users.map((user) => user.key)}`);
    const came = users.filter((user) => before.get(address)?.has(user.key) !== true);
    const uninvited = came.filter((user) => !isInvited(user, address, users));
    // Of Services that came together the first one needed no consent.
    const allowed = came.length === users.length ? 1 : 0;
    ok(uninvited.length <= allowed, `${address}: ${uninvited.map((user) => user.key)}`);
  }
  for (const one of allocator.services.keys())
    equal(allocator.refusals.has(one), !allocator.assigned.has(one));
}

function isInvited(user: ServiceManifest, address: Address, users: readonly ServiceManifest[]): boolean {
  const others = users.filter((other) => other !== user);
  const isOneNamespace = others.every(({ namespace }) => namespace === user.namespace);
  const hasKey = ({ sharingKey }: ServiceManifest) => sharingKey !== null && sharingKey === user.sharingKey;
  if (others.every(hasKey)) return true;
  return isOneNamespace && (user.addresses.includes(address) || others.some(hasKey));
}
