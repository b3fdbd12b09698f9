// The messages that an agent is sent, and their order: a real controller, and agents over real sockets.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../../src/state/address.ts';
import { folder, runningController, service, untilStatus } from '../fixture.ts';
import { agentOf } from '../test-agent.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 10_000 };

test('a Service in a file becomes a rule on every node and a placement on one', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web', { ports: [443, '53/UDP', 80] }) },
  });
  const agents = ['n1', 'n2'].map((name) => agentOf(t, running, name));
  await Promise.all(agents.map((agent) => agent.synced()));
  for (const { rules } of agents) {
    deepEqual(
      rules.get(first)?.ports.map(({ protocol, port }) => `${protocol} ${port}`),
      ['TCP 80', 'TCP 443', 'UDP 53'],
    );
  }
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  equal(agents.filter(({ placements }) => placements.has(first)).length, 1);
});

test('a change of one port is one delta with one VIP', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web'), 'b.yaml': service('api') },
  });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 2);
  const before = agent.heard.length;
  running.write('a.yaml', service('web', { ports: [8080] }));
  await agent.until(
    ({ rules }) =>
      rules.get(first)?.ports[0]?.port === 8080 ||
      rules.get('10.77.0.101' as Address)?.ports[0]?.port === 8080,
  );
  const deltas = agent.heard.slice(before).filter(({ type }) => type !== 'tick');
  equal(deltas.length, 1);
  equal(deltas[0]?.type === 'delta' && deltas[0].set.length, 1);
});

test('a VIP is placed on a node only once its rules are committed there', limit, async (t) => {
  const running = await runningController(t);
  const agent = agentOf(t, running, 'n1', { acks: false });
  await agent.synced();
  running.write('a.yaml', service('web'));
  await agent.until(({ rules }) => rules.has(first));
  equal(agent.placements.size, 0);
  equal(running.status().vips[0]?.state, 'pending');
  agent.acks = true;
  agent.commit('rules');
  await agent.until(({ placements }) => placements.has(first));
});

test('the rules of a VIP stay until its node has let go of it', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  agent.acks = false;
  running.write('a.yaml', '# nothing\n');
  await agent.until(({ placements }) => placements.size === 0);
  ok(agent.rules.has(first));
  equal(running.status().vips[0]?.state, 'released');
  agent.commit('placements');
  await agent.until(({ rules }) => rules.size === 0);
  equal(running.status().vips.length, 0);
});

test('an agent that comes back up to date is sent only welcome and synced', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  const { rules, placements } = agent.hello();
  const held = [...agent.placements.values()];
  await agent.close();
  const back = agentOf(t, running, 'n1', { hello: { rules, placements, held }, acks: false });
  await back.synced();
  deepEqual(
    back.heard.map(({ type }) => type).filter((type) => type !== 'tick'),
    ['welcome', 'synced', 'synced'],
  );
});

test('an agent that lacks one VIP is sent the bucket of that VIP only', limit, async (t) => {
  const files = Object.fromEntries(
    Array.from({ length: 20 }, (_, index) => [`${index}.yaml`, service(`s${index}`)]),
  );
  const running = await runningController(t, { files });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.size === 20);
  agent.rules.delete(first);
  const rules = agent.digest('rules');
  await agent.close();
  const back = agentOf(t, running, 'n1', { hello: { rules, placements: agent.digest('placements') } });
  await back.synced();
  ok(back.rules.has(first));
  ok(back.rules.size < 5, `${back.rules.size} VIPs were sent`);
});

test('a resync brings the VIPs that the agent lacks', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  agent.rules.clear();
  agent.send({ type: 'resync', table: 'rules', have: agent.digest('rules') });
  await agent.until(({ rules }) => rules.has(first));
  equal(agent.closed, null);
});

test('the digest in synced equals the one that the agent computes', limit, async (t) => {
  const files = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [`${index}.yaml`, service(`s${index}`)]),
  );
  const running = await runningController(t, { files });
  const agent = agentOf(t, running, 'n1');
  await agent.synced();
  const synced = agent.heard.find((message) => message.type === 'synced' && message.table === 'rules');
  ok(synced?.type === 'synced');
  equal(synced.count, 30);
  equal(agent.digests('rules').total(), synced.digest);
});

test('VIPs are spread evenly over nodes that start together', limit, async (t) => {
  const documents = Array.from({ length: 31 }, (_, index) => service(`s${index}`));
  const running = await runningController(t, {
    files: { 'all.yaml': documents.join('---\n') },
    timing: { settleMs: 60_000, claimMs: 60_000 },
  });
  const agents = ['n1', 'n2', 'n3'].map((name) => agentOf(t, running, name));
  await Promise.all(agents.map((agent) => agent.until(({ rules }) => rules.size === 31)));
  running.controller.owners.settle();
  await untilStatus(running, ({ vips }) => vips.every(({ state }) => state === 'serving'));
  deepEqual(agents.map(({ placements }) => placements.size).sort(), [10, 10, 11]);
});

test('no VIP moves because a node connects or disconnects', limit, async (t) => {
  const documents = Array.from({ length: 9 }, (_, index) => service(`s${index}`));
  const running = await runningController(t, { files: { 'all.yaml': documents.join('---\n') } });
  const one = agentOf(t, running, 'n1');
  await one.until(({ placements }) => placements.size === 9);
  await untilStatus(running, ({ vips }) => vips.every(({ state }) => state === 'serving'));
  const terms = () => running.status().vips.map(({ address, node, term }) => ({ address, node, term }));
  const before = terms();
  const two = agentOf(t, running, 'n2');
  await two.synced();
  equal(two.placements.size, 0);
  await one.close();
  await untilStatus(running, ({ nodes }) => nodes.some(({ name, connected }) => name === 'n1' && !connected));
  deepEqual(terms(), before);
});

test('a new VIP goes to the node with the fewest VIPs', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': [service('a'), service('b')].join('---\n') },
  });
  const one = agentOf(t, running, 'n1');
  await one.until(({ placements }) => placements.size === 2);
  const two = agentOf(t, running, 'n2');
  await two.synced();
  running.write('c.yaml', service('c'));
  await two.until(({ placements }) => placements.size === 1);
});

test('a restarted controller keeps every address, owner and term, and moves no VIP', limit, async (t) => {
  const [services, stateDir] = [folder(t), folder(t)];
  const documents = Array.from({ length: 7 }, (_, index) => service(`s${index}`));
  const running = await runningController(t, {
    services,
    stateDir,
    files: { 'all.yaml': documents.join('---\n') },
  });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(
    running,
    ({ vips }) => vips.length === 7 && vips.every(({ state }) => state === 'serving'),
  );
  const vips = (of: typeof running) =>
    of.status().vips.map(({ address, node, term, services: on }) => [address, node, term, on[0]?.key]);
  const before = vips(running).sort();
  const have = {
    rules: agent.digest('rules'),
    placements: agent.digest('placements'),
    held: [...agent.placements.values()],
  };
  await agent.close();
  await running.stop();
  const again = await runningController(t, { services, stateDir, files: { '0.yaml': service('early') } });
  const back = agentOf(t, again, 'n1', { hello: have });
  await back.synced();
  const after = vips(again).filter(([, , , key]) => key !== 'demo/early');
  deepEqual(after.sort(), before);
  equal(again.status().generation, running.status().generation + 1);
  const replaced = back.heard.filter((message) => message.type === 'page' && message.table === 'placements');
  deepEqual(replaced, []);
});
