// A node that is connected and sends ticks, but commits nothing.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { lateAfterTicks } from '../../src/controller/owners/nominations.ts';
import type { Address } from '../../src/state/address.ts';
import { runningController, service, type TestController, untilStatus } from './fixture.ts';
import { agentOf, type TestAgent } from './test-agent.ts';

const vip = '10.77.0.100' as Address;
const limit = { timeout: 20_000 };

/** Ticks as if so many seconds had passed; those of the real clock count too. */
function pass(running: TestController, seconds: number): void {
  for (let count = 0; count < seconds; count++) running.controller.owners.tick();
}

test('a VIP goes to another node when the chosen one commits nothing for 10 s', limit, async (t) => {
  const running = await runningController(t);
  const agents = ['n1', 'n2'].map((name) => agentOf(t, running, name, { acks: false }));
  await Promise.all(agents.map((agent) => agent.synced()));
  await untilStatus(running, () => running.controller.owners.isSettled);
  running.write('a.yaml', service('web'));
  await Promise.all(agents.map((agent) => agent.until(({ rules }) => rules.size === 1)));
  const chosen = running.controller.owners.nominations.get(vip)?.name;
  const of = (isChosen: boolean) => agents.find(({ name }) => (name === chosen) === isChosen) as TestAgent;
  of(false).acks = true;
  of(false).commit('rules');
  await untilStatus(running, ({ nodes }) => nodes.some(({ seq }) => seq === 1));
  pass(running, lateAfterTicks / 2 - 1);
  equal(running.controller.owners.nominations.get(vip)?.name, chosen);
  pass(running, lateAfterTicks / 2 + 1);
  await of(false).until(({ placements }) => placements.has(vip));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const lateOf = (name: string | undefined) =>
    running.status().nodes.find((node) => node.name === name)?.late;
  deepEqual([lateOf(of(true).name), lateOf(of(false).name)], [true, false]);
  const move = () =>
    fetch(`${running.url}/api/v1/move`, { method: 'POST', body: JSON.stringify({ vip, node: chosen }) });
  match(await (await move()).text(), /has committed nothing for 10 s, though it is connected/);
  of(true).acks = true;
  of(true).commit('rules');
  await untilStatus(running, () => lateOf(of(true).name) === false);
  equal((await move()).status, 200);
});

test('nodes that are all late get equal shares of the VIPs, even if one commits first', limit, async (t) => {
  const running = await runningController(t);
  const { owners } = running.controller;
  const agents = ['n1', 'n2', 'n3'].map((name) => agentOf(t, running, name, { acks: false }));
  await Promise.all(agents.map((agent) => agent.synced()));
  await untilStatus(running, () => owners.isSettled);
  running.write('a.yaml', ...Array.from({ length: 30 }, (_, index) => service(`s${index}`)));
  await untilStatus(running, () => owners.nominations.all().length === 30);
  await Promise.all(agents.map((agent) => agent.until(({ rules }) => rules.size === 30)));
  pass(running, 2 * lateAfterTicks);
  ok(running.status().nodes.every(({ late }) => late));
  const [first, ...others] = agents as [TestAgent, ...TestAgent[]];
  first.acks = true;
  first.commit('rules');
  await first.until(({ placements }) => placements.size === 10);
  owners.retry();
  pass(running, lateAfterTicks / 2);
  for (const agent of others) {
    agent.acks = true;
    agent.commit('rules');
  }
  await untilStatus(running, ({ vips }) => vips.every(({ state }) => state === 'serving'));
  deepEqual(
    agents.map(({ placements }) => placements.size),
    [10, 10, 10],
  );
});

test('a late node is given only VIPs that no other node can have', limit, async (t) => {
  const running = await runningController(t);
  const { owners, nodes } = running.controller;
  const agents = ['n1', 'n2'].map((name) => agentOf(t, running, name, { acks: false }));
  await Promise.all(agents.map((agent) => agent.synced()));
  await untilStatus(running, () => owners.isSettled);
  running.write('a.yaml', service('web'));
  await untilStatus(running, () => owners.nominations.get(vip));
  const stuck = nodes.at(owners.nominations.get(vip)?.name ?? '');
  const other = agents.find(({ name }) => name !== stuck.name) as TestAgent;
  await other.until(({ rules }) => rules.size === 1);
  other.acks = true;
  other.commit('rules');
  await untilStatus(running, () => nodes.at(other.name).acked.rules === 1);
  pass(running, lateAfterTicks);
  await other.until(({ placements }) => placements.has(vip));
  const names = Array.from({ length: 10 }, (_, index) => `more-${index}`);
  running.write('b.yaml', ...names.map((name) => service(name)));
  await untilStatus(running, ({ vips }) => vips.length === 11);
  equal(owners.nominations.on(stuck).length, 0);
  await other.until(({ placements }) => placements.size === 11);
  equal(owners.nominations.all().length, 0);
  await other.close();
  running.write('c.yaml', service('last'));
  const last = '10.77.0.111' as Address;
  await untilStatus(running, () => owners.nominations.get(last)?.name === stuck.name);
});

test('without another node a VIP waits for the late one, and its status says so', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1', { acks: false });
  await agent.synced();
  await untilStatus(running, ({ vips }) => vips[0]?.message === 'n1 is committing its rules');
  pass(running, lateAfterTicks);
  await untilStatus(running, ({ vips }) => vips[0]?.reason === 'NoEligibleNode');
  match(running.status().vips[0]?.message ?? '', /^n1 has committed nothing for 10 s/);
  agent.acks = true;
  agent.commit('rules');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
});

test('a node that commits now and then is not late, however long its last VIP takes', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1', { acks: false });
  await agent.synced();
  await untilStatus(running, () => running.controller.owners.nominations.get(vip)?.name === 'n1');
  for (let count = 0; count < 3; count++) {
    pass(running, lateAfterTicks - 3);
    ok(running.status().nodes.every(({ late }) => !late));
    running.controller.owners.acked(running.controller.nodes.at('n1'));
  }
});
