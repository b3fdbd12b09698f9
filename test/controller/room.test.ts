// An agent accepts a limited size of the rules: the controller keeps to it, and names the Services it leaves
// out.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import { Compilation } from '../../src/controller/compilation.ts';
import { Controller } from '../../src/controller/controller.ts';
import { noRecords } from '../../src/controller/records/records.ts';
import type { ServiceManifest } from '../../src/controller/service.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import { stagedLimit } from '../../src/protocol/messages.ts';
import { formatAddress, parsePrefix } from '../../src/state/address.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { serviceObject } from './fixture.ts';

/** As many as one Service may have. */
const ranges = Array.from({ length: 20_000 }, (_, index) => {
  return parsePrefix(`${formatAddress(Uint8Array.of(10, index >> 8, index & 255, 0))}/24`);
});

function service(
  name: string,
  ports: readonly number[],
  sources: ServiceManifest['sources'] = ranges,
  families: readonly string[] = ['IPv4'],
) {
  const [read] = readDocument(serviceObject(name, { ports, spec: { ipFamilies: families } })).services;
  if (read === undefined) throw new TypeError(name);
  return { ...read, sources };
}

/** A controller that begins with these Services. */
function ruling(...set: readonly ServiceManifest[]): Controller {
  const made = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools: parsePools(['p=10.77.0.0/24', 'fd77::/120']),
    filterByDefault: true,
    nowMs: () => 0,
    onChange: () => undefined,
  });
  made.publish({ set, remove: [] });
  return made;
}

test('a Service that exceeds the limit of the rules is refused, and no served port is lost', async () => {
  const controller = ruling();
  const { allocator, compilation, rules } = controller;
  const set = (...services: ServiceManifest[]) => controller.apply({ set: services, remove: [] });
  /** The ports in force, and after them how many are refused. */
  const portsOf = (name: string) => {
    const [address] = allocator.addressesOf(parseServiceKey(`demo/${name}`));
    if (address === undefined) throw new TypeError(name);
    ok(rules.items <= stagedLimit);
    const served = rules.get(address)?.ports.map(({ port }) => port) ?? [];
    return [served, controller.refusedPorts.get(address)?.length ?? 0];
  };
  const names = Array.from({ length: 24 }, (_, index) => `big-${index}`);
  set(...names.map((name) => service(name, [80])));
  set(service('late', [80]));
  deepEqual(portsOf('late'), [[], 1]);
  const [refused] = controller.refusedPorts.values().next().value ?? [];
  equal(refused?.reason, 'NotSupported');
  match(
    refused?.message ?? '',
    /^all Services together may have at most 500000 VIPs, ports and source ranges, .*: declare fewer/,
  );
  // There is room for a small Service, and none for another port of a served one.
  set(service('small', [80], null));
  deepEqual(portsOf('small'), [[80], 0]);
  set(service('big-0', [79, 80]));
  deepEqual(
    [portsOf('big-0'), portsOf('big-1')],
    [
      [[80], 1],
      [[80], 0],
    ],
  );
  controller.apply({ set: [], remove: [parseServiceKey('demo/big-1')] });
  await compilation.done();
  deepEqual(
    [portsOf('late'), portsOf('big-0')],
    [
      [[80], 0],
      [[80], 1],
    ],
  );
  set(service('big-2', [80], null));
  await compilation.done();
  deepEqual(portsOf('big-0'), [[79, 80], 0]);
  for (const name of names.slice(2)) deepEqual(portsOf(name), [[80], 0]);
});

test('room that a Service gives up goes to one that was refused earlier in the same change', async () => {
  const bigs = Array.from({ length: 24 }, (_, index) => service(`big-${index}`, [80]));
  const controller = ruling(...bigs, service('a-grows', [80], null), service('b-early', [80], null));
  const { allocator, compilation, rules } = controller;
  const [early] = allocator.addressesOf(parseServiceKey('demo/b-early'));
  if (early === undefined) throw new TypeError('early');
  // The Services are compiled in the order of their names.
  const before = rules.items;
  const many = Array.from({ length: 100 }, (_, index) => index + 1);
  controller.apply({
    set: [
      service('a-grows', [80], ranges.slice(0, 19_900)),
      service('b-early', many, null),
      service('big-0', [80], ranges.slice(0, 19_000)),
    ],
    remove: [],
  });
  ok(rules.items > before);
  await compilation.done();
  equal(rules.get(early)?.ports.length, many.length);
  equal(controller.refusedPorts.size, 0);
});

test('a VIP that finds no more room than before is not published again', () => {
  const bigs = Array.from({ length: 24 }, (_, index) => service(`big-${index}`, [80]));
  const controller = ruling(...bigs, service('short', [80, 81], ranges.slice(0, 18_000)));
  const [short] = controller.allocator.addressesOf(parseServiceKey('demo/short'));
  if (short === undefined) throw new TypeError('short');
  const published: VirtualIp[] = [];
  const compilation = new Compilation({
    controller,
    filterByDefault: true,
    onChange: () => undefined,
    onTouched: () => undefined,
    publish: (vips) => void published.push(...vips),
  });
  compilation.followAtOnce(new Set([short]));
  deepEqual([published, compilation.refusedPorts.get(short)?.length], [[], 1]);
});

test('the controller counts VIPs, ports and source ranges as agents do', () => {
  const controller = ruling();
  const { rules } = controller;
  const items: number[] = [];
  const step = (set: ServiceManifest[], remove: string[] = []) => {
    controller.apply({ set, remove: remove.map((name) => parseServiceKey(`demo/${name}`)) });
    items.push(rules.items);
  };
  step([service('a', [80, 81], null), service('b', [80], ranges.slice(0, 5))]);
  step([service('a', [80], ranges.slice(0, 2))]);
  step([service('a', [80], ranges.slice(0, 2))]);
  step([], ['b']);
  step([], ['a']);
  deepEqual(items, [3 + 7, 4 + 7, 4 + 7, 4, 0]);
});

for (const families of [['IPv4'], ['IPv4', 'IPv6']]) {
  test(`a controller that starts above the limit leaves out one of the largest Services: ${families}`, () => {
    // Together they fill the rules to the last item, and come first by their names.
    const few = Array.from({ length: 19_951 }, (_, index) => index + 1);
    const names = Array.from({ length: 24 / families.length }, (_, index) => `big-${index}`);
    const bigs = names.map((name) => service(name, [80], ranges, families));
    const controller = ruling(service('a', few, null), ...bigs, service('small', [80], null));
    const served = (name: string) => {
      const addresses = controller.allocator.addressesOf(parseServiceKey(`demo/${name}`));
      return addresses.map((address) => controller.rules.get(address)?.ports.length ?? 0);
    };
    deepEqual([served('small'), served('a')], [[1], [19_951]]);
    deepEqual(names.flatMap(served).filter((count) => count === 0).length, 1);
    equal(names.flatMap(served).length, 24);
    ok(controller.rules.items <= stagedLimit);
  });
}
