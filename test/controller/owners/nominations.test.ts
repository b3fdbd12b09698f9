// VIPs that wait for a node: which node they wait for, and when one is chosen again.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Node } from '../../../src/controller/owners/node.ts';
import { Nominations } from '../../../src/controller/owners/nominations.ts';
import type { Address } from '../../../src/state/address.ts';
import { runningController, service, untilStatus } from '../fixture.ts';
import { agentOf, type TestAgent } from '../test-agent.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 20_000 };

test('a VIP that waits for a node to commit goes to another when that node is drained', limit, async (t) => {
  const running = await runningController(t, { files: {} });
  const agents = [agentOf(t, running, 'n1', { acks: false }), agentOf(t, running, 'n2', { acks: false })];
  await Promise.all(agents.map((agent) => agent.synced()));
  await untilStatus(running, () => running.controller.owners.isSettled);
  running.write('a.yaml', service('web'));
  await Promise.all(agents.map((agent) => agent.until(({ rules }) => rules.size === 1)));
  const chosen = running.controller.owners.nominations.get(first)?.name;
  const of = (isChosen: boolean) => agents.find(({ name }) => (name === chosen) === isChosen) as TestAgent;
  const body = JSON.stringify({ node: chosen });
  equal((await fetch(`${running.url}/api/v1/drain`, { method: 'POST', body })).status, 200);
  for (const agent of agents) agent.acks = true;
  of(true).commit('rules');
  of(false).commit('rules');
  await of(false).until(({ placements }) => placements.has(first));
  equal(of(true).placements.size, 0);
});

test('an accepted message makes the controller choose again for that VIP alone', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web') },
    timing: { settleMs: 1 },
  });
  const agent = agentOf(t, running, 'n1', { acks: false });
  await agent.synced();
  const key = first;
  const refusal = { table: 'rules', key, services: [], code: 'KernelRefused', reason: 'ENOSPC' };
  agent.send({ type: 'refused', ...refusal });
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  equal(running.controller.owners.nominations.get(first), null);
  const { owners } = running.controller;
  let asked = 0;
  const { candidates } = owners;
  const { insteadOf, for: all } = candidates;
  candidates.insteadOf = (...more) => {
    asked++;
    return insteadOf.apply(candidates, more);
  };
  candidates.for = (...more) => {
    asked++;
    return all.apply(candidates, more);
  };
  for (let count = 0; count < 10; count++)
    agent.send({ type: 'accepted', table: 'rules', key: '10.77.0.199' as Address });
  agent.send({ type: 'accepted', table: 'rules', key });
  await untilStatus(running, () => owners.nominations.get(first)?.name === 'n1');
  equal(asked, 1);
});

test('a node that connects is nominated for a VIP without a node', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web') },
    timing: { settleMs: 1 },
  });
  const { owners, nodes } = running.controller;
  const away = { onLink: [], allow: [] };
  await agentOf(t, running, 'n1', { acks: false, hello: away }).synced();
  await untilStatus(running, () => owners.isSettled && owners.nominations.get(first) === null);
  deepEqual(owners.nominations.for(nodes.at('n1')), [first]);
  await agentOf(t, running, 'n2', { acks: false }).synced();
  await untilStatus(running, () => owners.nominations.get(first)?.name === 'n2');
  deepEqual(owners.nominations.for(nodes.at('n1')), []);
  deepEqual(owners.nominations.for(nodes.at('n2')), [first]);
});

test('an expected VIP is among all nominations, and among those for a node only once it found none', () => {
  const nominations = new Nominations();
  const node = new Node('n1');
  nominations.expect(first);
  deepEqual([nominations.get(first), nominations.all(), nominations.for(node)], [null, [first], []]);
  nominations.set(first, null);
  deepEqual([nominations.all(), nominations.for(node)], [[first], [first]]);
});
