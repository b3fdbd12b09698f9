// How a start uses the recorded addresses: no Service loses its own, and those of removed Services are
// forgotten.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Allocator } from '../../src/controller/allocate.ts';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import type { ServiceManifest } from '../../src/controller/service.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import type { Address } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { untilTrue } from '../patience.ts';
import { folder, runningController, service, serviceObject, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const pools = parsePools(['p=10.77.0.100-10.77.0.103']);
const limit = { timeout: 20_000 };

/** `a/old` is older than `b/young`, and is the first to get an address. */
function manifest(namespace: 'a' | 'b', annotations: Record<string, string> = {}): ServiceManifest {
  const [name, year] = namespace === 'a' ? ['old', 2020] : ['young', 2021];
  const created = `${year}-01-01T00:00:00Z`;
  const [read] = readDocument(serviceObject(name, { namespace, created, annotations })).services;
  ok(read !== undefined);
  return read;
}

const had = (lists: Record<string, string>) =>
  new Map(Object.entries(lists).map(([key, address]) => [key as ServiceKey, [address as Address]]));

/** The addresses of both after a start, and why the older one has none. */
function started(old: ServiceManifest, assigned: Record<string, string>, former = {}) {
  const allocator = new Allocator(pools, had(assigned), had(former));
  allocator.apply({ set: [old, manifest('b')], remove: [] });
  const [mine, other] = ['a/old', 'b/young'].map((key) => allocator.addressesOf(key as ServiceKey));
  return { mine, other, why: allocator.refusals.get('a/old' as ServiceKey)?.message };
}

const x = '10.77.0.100';

test('an older Service that requests the address of another before a start does not get it', () => {
  const asks = manifest('a', { 'vipward.io/addresses': x });
  const { mine, other, why } = started(asks, { 'a/old': '10.77.0.103', 'b/young': x });
  deepEqual([mine, other], [[], [x]]);
  match(why ?? '', /belongs to b\/young/);
});

test('an older Service whose pool is gone at a start gets a free address, not one of another', () => {
  const { mine, other } = started(manifest('a'), { 'a/old': '10.9.9.9', 'b/young': x });
  deepEqual([mine, other], [['10.77.0.101'], [x]]);
});

test('a former address of an older Service stays with the Service that has it now', () => {
  const { mine, other } = started(manifest('a'), { 'b/young': x }, { 'a/old': x });
  deepEqual([mine, other], [['10.77.0.101'], [x]]);
});

test(
  'Services that were removed before a start do not count when a mass removal is detected',
  limit,
  async (t) => {
    const [services, stateDir] = [folder(t), folder(t)];
    const twelve = (name: string) =>
      Array.from({ length: 12 }, (_, index) => service(`${name}${index}`)).join('---\n');
    const files = { 'a.yaml': twelve('a'), 'b.yaml': twelve('b') };
    const running = await runningController(t, { services, stateDir, files });
    await running.stop();
    rmSync(join(services, 'b.yaml'));
    const again = await runningController(t, { services, stateDir });
    equal(again.controller.allocator.assigned.size, 12);
    const agent = agentOf(t, again, 'n1');
    await agent.until(({ placements }) => placements.size === 12);
    again.write('a.yaml', '# oops\n');
    await untilStatus(again, ({ massRemoval }) => massRemoval?.vips === 12);
    equal(agent.rules.size, 12);
  },
);

test(
  'each start has a higher generation, which is on the disk before an agent hears it',
  limit,
  async (t) => {
    const [services, stateDir] = [folder(t), folder(t)];
    for (const generation of [1, 2, 3]) {
      const running = await runningController(t, { services, stateDir });
      const written = JSON.parse(readFileSync(join(stateDir, 'controller.json'), 'utf8'));
      equal(written.generation, generation);
      const agent = agentOf(t, running, 'n1');
      const welcome = () => agent.heard.find((message) => message.type === 'welcome');
      await agent.until(() => welcome() !== undefined);
      equal(welcome()?.generation, generation);
      await running.stop();
    }
  },
);

test(
  'a Service keeps the address that it shares, though no VIP came or went when it got it',
  limit,
  async (t) => {
    const created = { a: '2020-01-01T00:00:00Z', b: '2021-01-01T00:00:00Z' };
    const [services, stateDir] = [folder(t), folder(t)];
    const files = { 'a.yaml': service('a', { created: created.a }) };
    const running = await runningController(t, { services, stateDir, files });
    const recorded = (key: string) => {
      const { allocations } = JSON.parse(readFileSync(join(stateDir, 'controller.json'), 'utf8'));
      return allocations[key] as readonly string[] | undefined;
    };
    await untilTrue(() => recorded('demo/a') !== undefined);
    const asks = { 'vipward.io/addresses': x };
    running.write('b.yaml', service('b', { created: created.b, ports: [81], annotations: asks }));
    await untilStatus(running, ({ vips }) => vips[0]?.services.length === 2);
    running.write('b.yaml', service('b', { created: created.b, ports: [82] }));
    await untilStatus(running, ({ vips }) => vips[0]?.services[1]?.ports[0]?.port === 82);
    await running.stop();
    deepEqual(recorded('demo/b'), [x]);
  },
);
