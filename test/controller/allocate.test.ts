// Which Service gets which address and port: pools, sharing by consent, refusals, and what stays the same.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Allocator } from '../../src/controller/allocate.ts';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import { compileVip } from '../../src/controller/compile.ts';
import type { ServiceManifest } from '../../src/controller/service.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import type { Address } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { type ServiceText, serviceObject } from './fixture.ts';

const pools = parsePools(['p=10.77.0.100-10.77.0.103', 'fd77::100-fd77::103']);

function manifest(name: string, text: ServiceText = {}): ServiceManifest {
  const [service] = readDocument(serviceObject(name, text)).services;
  ok(service !== undefined);
  return service;
}

function allocated(
  services: readonly ServiceManifest[],
  remembered = new Map<ServiceKey, readonly Address[]>(),
) {
  const allocator = new Allocator(pools, remembered);
  allocator.apply({ set: services, remove: [] });
  return allocator;
}

const at = (allocator: Allocator, name: string) => allocator.addressesOf(name as ServiceKey);
const why = (allocator: Allocator, name: string) => allocator.refusals.get(name as ServiceKey);
const wants = (address: string, more: Record<string, string> = {}) => ({
  'vipward.io/addresses': address,
  ...more,
});

test('addresses are assigned in order, and a freed address is assigned again', () => {
  const allocator = allocated(['a', 'b', 'c'].map((name) => manifest(name)));
  deepEqual(at(allocator, 'demo/b'), ['10.77.0.101']);
  allocator.apply({ set: [], remove: ['demo/a' as ServiceKey] });
  allocator.apply({ set: [manifest('d')], remove: [] });
  deepEqual(at(allocator, 'demo/d'), ['10.77.0.100']);
});

test('an address that an absent node may have is looked at once, and again when it is freed', () => {
  const allocator = allocated([]);
  const looks: string[] = [];
  let held: readonly string[] = ['10.77.0.100', '10.77.0.101'];
  allocator.isHeld = (address) => looks.push(address) > 0 && held.includes(address);
  for (const name of ['a', 'b']) allocator.apply({ set: [manifest(name)], remove: [] });
  deepEqual(looks, ['10.77.0.100', '10.77.0.101', '10.77.0.102', '10.77.0.103']);
  held = ['10.77.0.100'];
  equal(allocator.freed(['10.77.0.101' as Address, '10.77.0.102' as Address]), true);
  allocator.apply({ set: [manifest('c')], remove: [] });
  deepEqual(at(allocator, 'demo/c'), ['10.77.0.101']);
});

test('a Service that an exhausted pool refuses gets the first address that becomes free', () => {
  const allocator = allocated(['a', 'b', 'c', 'd', 'e'].map((name) => manifest(name)));
  equal(why(allocator, 'demo/e')?.reason, 'PoolExhausted');
  const touched = allocator.apply({ set: [], remove: ['demo/b' as ServiceKey] });
  deepEqual([at(allocator, 'demo/e'), [...touched]], [['10.77.0.101'], ['10.77.0.101']]);
});

test('a requested address outside all pools, or one that no node can hold, is refused', () => {
  const allocator = allocated([
    manifest('far', { annotations: wants('10.9.9.9') }),
    manifest('lo', { annotations: wants('127.0.0.1') }),
    manifest('other', { annotations: { 'vipward.io/pool': 'q' } }),
  ]);
  deepEqual(
    ['far', 'lo', 'other'].map((name) => why(allocator, `demo/${name}`)?.reason),
    ['OutsidePool', 'Forbidden', 'OutsidePool'],
  );
  match(why(allocator, 'demo/other')?.message ?? '', /pool "q" is not one of: p/);
});

test('Services of one namespace share a requested address, and those of two need one sharing key', () => {
  const x = '10.77.0.102';
  const key = { 'vipward.io/sharing-key': 'k' };
  const same = allocated([
    manifest('a', { annotations: wants(x) }),
    manifest('b', { annotations: wants(x), ports: [81] }),
  ]);
  deepEqual([at(same, 'demo/a'), at(same, 'demo/b')], [[x], [x]]);
  const other = allocated([
    manifest('a', { annotations: wants(x) }),
    manifest('b', { annotations: wants(x, key), namespace: 'z' }),
  ]);
  equal(why(other, 'z/b')?.reason, 'AddressTaken');
  match(why(other, 'z/b')?.message ?? '', /belongs to demo\/a/);
  const agreed = allocated([
    manifest('a', { annotations: wants(x, key) }),
    manifest('b', { annotations: wants(x, key), namespace: 'z', ports: [81] }),
  ]);
  deepEqual(at(agreed, 'z/b'), [x]);
});

test('a Service that was refused an address gets it when its holder is removed', () => {
  const x = '10.77.0.102';
  const allocator = allocated([
    manifest('a', { annotations: wants(x) }),
    manifest('b', { annotations: wants(x), namespace: 'z' }),
  ]);
  allocator.apply({ set: [], remove: ['demo/a' as ServiceKey] });
  deepEqual(at(allocator, 'z/b'), [x]);
});

test('a Service that was refused an address gets it when its holder sets the same sharing key', () => {
  const x = '10.77.0.102';
  const key = { 'vipward.io/sharing-key': 'k' };
  const allocator = allocated([
    manifest('a', { annotations: wants(x) }),
    manifest('b', { annotations: wants(x, key), namespace: 'z', ports: [81] }),
  ]);
  match(why(allocator, 'z/b')?.message ?? '', /give both one vipward\.io\/sharing-key/);
  const touched = allocator.apply({ set: [manifest('a', { annotations: wants(x, key) })], remove: [] });
  deepEqual([at(allocator, 'z/b'), [...touched]], [[x], [x]]);
});

test('a Service with a sharing key joins the VIP of that key, unless a port collides', () => {
  const key = { 'vipward.io/sharing-key': 'k' };
  const allocator = allocated([
    manifest('a', { annotations: key }),
    manifest('b', { annotations: key, ports: [81], namespace: 'z' }),
    manifest('c', { annotations: key, ports: [80] }),
  ]);
  deepEqual(
    [at(allocator, 'demo/a'), at(allocator, 'z/b'), at(allocator, 'demo/c')],
    [['10.77.0.100'], ['10.77.0.100'], ['10.77.0.101']],
  );
});

test('a port of two Services goes to the older one, then to the first by name, and not to the other', () => {
  const x = '10.77.0.102' as Address;
  const services = [
    manifest('b', { annotations: wants(x), ports: [80, 81] }),
    manifest('a', { annotations: wants(x), ports: [80] }),
    manifest('z', { annotations: wants(x), ports: [81], created: '2020-01-01T00:00:00Z' }),
  ];
  const { vip, refusedPorts } = compileVip(x, allocated(services).usersOf(x), true);
  deepEqual(
    vip.ports.map(({ port, service }) => [port, service]),
    [
      [80, 'demo/a'],
      [81, 'demo/z'],
    ],
  );
  deepEqual(
    refusedPorts.map(({ service, port, reason }) => [service, port, reason]),
    [
      ['demo/b', 80, 'PortTaken'],
      ['demo/b', 81, 'PortTaken'],
    ],
  );
});

test('a VIP is unfiltered only if all its Services ask for that', () => {
  const x = '10.77.0.102' as Address;
  const open = wants(x, { 'vipward.io/only-service-ports': 'false' });
  const filtered = (...services: ServiceManifest[]) => compileVip(x, services, true).vip.filtered;
  equal(filtered(manifest('a', { annotations: open })), false);
  equal(
    filtered(manifest('a', { annotations: open }), manifest('b', { annotations: wants(x), ports: [81] })),
    true,
  );
});

test('a Service gets one family by default, both if preferred, and both or none if required', () => {
  const families = (name: string, spec: object) => at(allocated([manifest(name, { spec })]), `demo/${name}`);
  deepEqual(families('a', {}), ['10.77.0.100']);
  deepEqual(families('b', { ipFamilies: ['IPv6'] }), ['fd77::100']);
  deepEqual(families('c', { ipFamilyPolicy: 'PreferDualStack' }), ['10.77.0.100', 'fd77::100']);
  deepEqual(families('d', { ipFamilies: ['IPv6', 'IPv4'] }), ['fd77::100', '10.77.0.100']);
  const only4 = new Allocator(parsePools(['p=10.77.0.0/24']), new Map());
  only4.apply({
    set: [
      manifest('e', { spec: { ipFamilyPolicy: 'RequireDualStack' } }),
      manifest('f', { spec: { ipFamilyPolicy: 'PreferDualStack' } }),
      manifest('h', { spec: { ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv4', 'IPv6'] } }),
      manifest('i', { spec: { ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv6', 'IPv4'] } }),
    ],
    remove: [],
  });
  equal(why(only4, 'demo/e')?.reason, 'PoolExhausted');
  deepEqual(at(only4, 'demo/f'), ['10.77.0.1']);
  deepEqual(at(only4, 'demo/h'), ['10.77.0.2']);
  equal(why(only4, 'demo/i')?.reason, 'PoolExhausted');
  equal(
    why(
      allocated([manifest('g', { annotations: wants('fd77::101'), spec: { ipFamilies: ['IPv4'] } })]),
      'demo/g',
    )?.reason,
    'NotSupported',
  );
});

test('a PreferDualStack Service with one family gets the other when it becomes free', () => {
  const both = { spec: { ipFamilyPolicy: 'PreferDualStack' } };
  const few = new Allocator(parsePools(['p=10.77.0.100-10.77.0.103', 'fd77::100']), new Map());
  const [first, second, third] = ['a', 'b', 'c'].map((name) => manifest(name, both));
  ok(first !== undefined && second !== undefined && third !== undefined);
  few.apply({ set: [first, second, third], remove: [] });
  deepEqual(at(few, 'demo/b'), ['10.77.0.101']);
  const touched = few.apply({ set: [], remove: [first.key] });
  deepEqual(at(few, 'demo/b'), ['10.77.0.101', 'fd77::100']);
  deepEqual([...touched].sort(), ['10.77.0.100', '10.77.0.101', 'fd77::100']);
  // The Service is asked with its present spec, and not once it is removed.
  few.apply({ set: [manifest('c')], remove: [second.key] });
  deepEqual(at(few, 'demo/c'), ['10.77.0.102']);
  few.apply({ set: [third], remove: [] });
  deepEqual(at(few, 'demo/c'), ['10.77.0.102', 'fd77::100']);
});

test('a Service keeps its address over every change that does not ask for another', () => {
  const allocator = allocated(['a', 'b'].map((name) => manifest(name)));
  allocator.apply({ set: [], remove: ['demo/a' as ServiceKey] });
  const touched = allocator.apply({ set: [manifest('b', { ports: [81] })], remove: [] });
  deepEqual([at(allocator, 'demo/b'), [...touched]], [['10.77.0.101'], ['10.77.0.101']]);
  const moved = allocator.apply({ set: [manifest('b', { annotations: wants('10.77.0.103') })], remove: [] });
  deepEqual([...moved].sort(), ['10.77.0.101', '10.77.0.103']);
});
