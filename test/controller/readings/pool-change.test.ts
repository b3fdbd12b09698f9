// New pools and large changes: the result is that of one step, but the work is done in turns between which
// the event loop is free.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { Allocator } from '../../../src/controller/allocate.ts';
import { type Pool, parsePools } from '../../../src/controller/allocation/pools.ts';
import { turnAddresses } from '../../../src/controller/compilation.ts';
import { Controller } from '../../../src/controller/controller.ts';
import { massRemovalWaitMs } from '../../../src/controller/readings/mass-removal.ts';
import { Readings } from '../../../src/controller/readings/readings.ts';
import { noRecords } from '../../../src/controller/records/records.ts';
import type { ServiceManifest } from '../../../src/controller/service.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { Address } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { untilTrue } from '../../patience.ts';
import { type ServiceText, serviceObject } from '../fixture.ts';

function manifest(name: string, text: ServiceText = {}): ServiceManifest {
  const [service] = readDocument(serviceObject(name, text)).services;
  ok(service !== undefined);
  return service;
}

/** A controller that has published these Services, and the addresses that it touched since, by call. */
async function published(services: readonly ServiceManifest[], pools: readonly Pool[]) {
  const touched: ReadonlySet<Address>[] = [];
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools,
    filterByDefault: true,
    nowMs: () => 0,
    onChange: () => undefined,
    onTouched: (addresses) => touched.push(addresses),
  });
  const truth = { services: new Map(services.map((one) => [one.key, one])), invalid: new Map() };
  const quiet = () => undefined;
  const readings = new Readings({
    controller,
    truth,
    massRemoval: 'now',
    massRemovalWaitMs,
    mayBelieve: () => true,
    readAgain: async () => undefined,
    onPublished: quiet,
    onMassRemoval: quiet,
    nowMs: () => 0,
  });
  readings.follow({ set: services, remove: [] }, true);
  await untilTrue(() => controller.isPublished);
  touched.length = 0;
  return { controller, readings, touched };
}

/** The addresses of all Services, and the refusals with their reasons. */
function standing({ assigned, refusals }: Allocator): unknown {
  const reasons = [...refusals].map(([key, { reason, message }]) => [key, reason, message]);
  return {
    assigned: Object.fromEntries(assigned),
    reasons: Object.fromEntries(reasons.map(([key, ...why]) => [key, why])),
  };
}

const choices = {
  pool: fc.constantFrom(undefined, 'a', 'b'),
  key: fc.constantFrom(undefined, 'k', 'l'),
  address: fc.constantFrom(undefined, '10.77.0.1', '10.77.0.9', 'fd77::1'),
  policy: fc.constantFrom(undefined, 'PreferDualStack', 'RequireDualStack'),
  port: fc.constantFrom(80, 81),
  namespace: fc.constantFrom('demo', 'other'),
};
const anyService = fc.record(choices);
const anyPools = fc
  .subarray(['a=10.77.0.0-10.77.0.3', 'b=10.77.0.8-10.77.0.11', 'a=fd77::1-fd77::3', 'c=10.78.0.1'], {
    minLength: 1,
  })
  .map((items) => parsePools(items));

test('new pools give each Service the same result as applying all Services again at once', async () => {
  const all = fc.array(anyService, { maxLength: 16 });
  const property = fc.asyncProperty(all, anyPools, anyPools, async (wishes, former, pools) => {
    const services = wishes.map(({ pool, key, address, policy, port, namespace }, index) => {
      const annotations = {
        ...(pool === undefined ? {} : { 'vipward.io/pool': pool }),
        ...(key === undefined ? {} : { 'vipward.io/sharing-key': key }),
        ...(address === undefined ? {} : { 'vipward.io/addresses': address }),
      };
      const spec = policy === undefined ? {} : { ipFamilyPolicy: policy };
      return manifest(`s${index}`, { annotations, spec, namespace, ports: [port] });
    });
    const one = await published(services, former);
    await one.readings.usePools(pools);
    const reference = new Allocator(former, new Map());
    reference.apply({ set: services, remove: [] });
    reference.usePools(pools);
    reference.apply({ set: services, remove: [] });
    deepEqual(standing(one.controller.allocator), standing(reference));
  });
  await fc.assert(property, { numRuns: 1000 });
});

const many = Array.from({ length: 3000 }, (_, index) => manifest(`s${String(index).padStart(4, '0')}`));
const [wide, elsewhere] = [parsePools(['p=10.64.0.0/14']), parsePools(['p=10.128.0.0/14'])];

/** Counts the turns of the event loop until the condition holds. */
async function turnsUntil(condition: () => boolean): Promise<number> {
  for (let turns = 0; ; turns++) {
    if (condition()) return turns;
    await nextTurn();
  }
}

/** True if there are so many VIPs, and their addresses begin like this. */
function isAllAt({ rules }: Controller, count: number, start: string): boolean {
  return rules.size === count && [...rules.keys()].every((address) => address.startsWith(start));
}

test('new pools that change no Service touch no address', async () => {
  const { readings, touched } = await published(many, wide);
  await readings.usePools(parsePools(['p=10.64.0.0/14', 'q=10.128.0.0/14']));
  deepEqual(touched, []);
});

test('a pool with a new name touches its addresses, though no Service moves', async () => {
  const { readings, touched } = await published(many.slice(0, 3), wide);
  await readings.usePools(parsePools(['other=10.64.0.0/14']));
  deepEqual(
    touched.map((addresses) => [...addresses]),
    [['10.64.0.1', '10.64.0.2', '10.64.0.3']],
  );
});

test('moving all Services takes many turns, and the result is that of one step', async () => {
  const { controller, readings, touched } = await published(many, wide);
  const moved = readings.usePools(elsewhere);
  const turns = await turnsUntil(() => isAllAt(controller, many.length, '10.128.'));
  await moved;
  ok(turns >= (2 * many.length) / turnAddresses, `${turns} turns`);
  ok(touched.every((addresses) => addresses.size <= turnAddresses));
  const reference = new Allocator(elsewhere, new Map());
  reference.apply({ set: many, remove: [] });
  deepEqual(standing(controller.allocator), standing(reference));
});

test('a reading during a change of pools waits, and uses the new pools', async () => {
  const { controller, readings } = await published(many, wide);
  const first = readings.usePools(parsePools(['p=10.200.0.0/16']));
  readings.follow({ set: [manifest('new')], remove: ['demo/s0000' as ServiceKey] }, true);
  const second = readings.usePools(elsewhere);
  equal(controller.allocator.services.has('demo/new' as ServiceKey), false);
  await Promise.all([first, second]);
  await turnsUntil(() => isAllAt(controller, many.length, '10.128.'));
  equal(controller.allocator.addressesOf('demo/new' as ServiceKey).length, 1);
  equal(controller.allocator.assigned.has('demo/s0000' as ServiceKey), false);
});

test('a small change is applied at once while a large one is under way', async () => {
  const { controller, touched } = await published([], wide);
  controller.apply({ set: many, remove: [] });
  const last = controller.allocator.addressesOf('demo/s2999' as ServiceKey)[0] as Address;
  equal(controller.rules.get(last), undefined);
  controller.apply({ set: [manifest('s2999', { ports: [443] })], remove: [] });
  equal(controller.rules.get(last)?.ports[0]?.port, 443);
  await turnsUntil(() => controller.rules.size === many.length);
  equal(controller.rules.get(last)?.ports[0]?.port, 443);
  equal(touched.flatMap((addresses) => [...addresses]).filter((address) => address === last).length, 1);
});
