// A Service that requests another address keeps the old one until the new one is served.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Allocator } from '../../src/controller/allocate.ts';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import { Replacing, type ReplacingInput } from '../../src/controller/replacing.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import type { Address } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { pool, runningController, service, serviceObject, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 20_000 };
const [old, next] = ['10.77.0.100', '10.77.0.101'] as [Address, Address];
const web = 'of-web/web' as ServiceKey;
const wants = (address: Address) => ({ 'vipward.io/addresses': address });

test('the old address of a Service is removed once the new one is served, not before', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web', { annotations: wants(old) }) },
  });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(old));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  agent.acks = false;
  running.write('a.yaml', service('web', { annotations: wants(next), ports: [81] }));
  await agent.until(({ rules }) => rules.has(next));
  agent.commit('rules');
  await agent.until(({ placements }) => placements.has(next));
  await sleep(200);
  // The old address has the present ports of the Service.
  const ports = agent.rules.get(old)?.ports.map(({ port }) => port);
  deepEqual([ports, agent.placements.has(old)], [[81], true]);
  agent.commit('placements');
  await agent.until(({ placements }) => !placements.has(old));
  equal(agent.placements.has(next), true);
  agent.commit('placements');
  await agent.until(({ rules }) => !rules.has(old));
});

test('an address change during a pending mass removal does not cancel the removal', limit, async (t) => {
  const others = Array.from({ length: 12 }, (_, index) => service(`s${index}`)).join('---\n');
  const withWeb = (address: Address) => `${service('web', { annotations: wants(address) })}---\n${others}`;
  const [there, after] = ['10.77.0.150', '10.77.0.151'] as [Address, Address];
  const timing = { massRemovalWaitMs: 1500 };
  const running = await runningController(t, { files: { 'a.yaml': withWeb(there) }, timing });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(
    running,
    ({ vips }) => vips.length === 13 && vips.every(({ state }) => state === 'serving'),
  );
  agent.acks = false;
  running.write('a.yaml', withWeb(after));
  await agent.until(({ rules }) => rules.has(after));
  agent.commit('rules');
  await agent.until(({ placements }) => placements.has(after));
  running.write('a.yaml', '');
  await untilStatus(running, ({ massRemoval }) => massRemoval !== null);
  agent.acks = true;
  agent.commit('placements');
  await sleep(300);
  deepEqual([agent.placements.has(there), agent.placements.has(after)], [true, true]);
  await agent.until(({ rules }) => rules.size === 0);
});

test('a Service keeps the old address while another has its port on the new one', limit, async (t) => {
  const [there, shared] = ['10.77.0.150', '10.77.0.151'] as [Address, Address];
  const files = {
    'a.yaml': service('first', { annotations: wants(shared) }),
    'b.yaml': service('web', { annotations: wants(there) }),
  };
  const running = await runningController(t, { files });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(
    running,
    ({ vips }) => vips.length === 2 && vips.every(({ state }) => state === 'serving'),
  );
  running.write('b.yaml', service('web', { annotations: wants(shared) }));
  await untilStatus(running, () => running.controller.refusedPorts.has(shared));
  // The message of the node about a third VIP starts the check.
  running.write('c.yaml', service('other'));
  await untilStatus(
    running,
    ({ vips }) => vips.length === 3 && vips.every(({ state }) => state === 'serving'),
  );
  await sleep(700);
  equal(agent.placements.has(there), true);
  agent.acks = false;
  running.write('b.yaml', service('web', { annotations: wants(shared), ports: [81] }));
  await agent.until(({ rules }) => rules.get(shared)?.ports.length === 2);
  await sleep(700);
  equal(agent.placements.has(there), true);
  agent.commit('rules');
  await agent.until(({ placements }) => !placements.has(there));
});

/** A fake controller with one Service of two families, which has requested two other addresses. */
function twoFamilies(followMs: number) {
  const allocator = new Allocator(parsePools([`p=${pool}`, 'p=fd77::100-fd77::1ff']), new Map());
  const spec = { ipFamilyPolicy: 'RequireDualStack' };
  for (const addresses of ['10.77.0.100,fd77::100', '10.77.0.101,fd77::101']) {
    const annotations = { 'vipward.io/addresses': addresses };
    const manifest = serviceObject('web', { namespace: 'of-web', annotations, spec });
    allocator.apply({ set: readDocument(manifest).services, remove: [] });
  }
  const [served, told] = [new Set<Address>(), new Set<Address>()];
  const controller = {
    allocator,
    owners: {
      nodeOf: () => ({ isConnected: true, held: served, hasAcked: () => true }),
      leaving: new Set(),
      moves: new Set(),
      candidates: { hasRules: () => true },
    },
    rules: { changedSeq: () => 1 },
    refusedPorts: new Map(),
  } as unknown as ReplacingInput['controller'];
  const readings: ReplacingInput['readings'] = {
    isUndisputed: () => true,
    letGo: (gone) => void allocator.apply({ set: [], remove: [], gone }),
  };
  const isTold = (_: ServiceKey, address: Address) => told.has(address);
  const replacing = new Replacing({ controller, readings, isTold, followMs });
  const outgoing = () => allocator.outgoing.get(web) ?? [];
  return { replacing, served, told, outgoing };
}

test('the old address of each family goes once the new one is served and told', limit, async () => {
  const { replacing, served, told, outgoing } = twoFamilies(0);
  served.add('10.77.0.101' as Address);
  replacing.progressed();
  await sleep(200);
  deepEqual(outgoing(), ['10.77.0.100', 'fd77::100']);
  told.add('10.77.0.101' as Address);
  told.add('fd77::101' as Address);
  for (let tries = 0; outgoing().length > 1 && tries < 500; tries++) await sleep(20);
  await sleep(700);
  deepEqual(outgoing(), ['fd77::100']);
});

test('the old addresses stay during the follow time', limit, async () => {
  const { replacing, served, told, outgoing } = twoFamilies(3_600_000);
  for (const address of ['10.77.0.101', 'fd77::101'] as Address[]) {
    served.add(address);
    told.add(address);
  }
  replacing.progressed();
  await sleep(700);
  deepEqual(outgoing(), ['10.77.0.100', 'fd77::100']);
});
