// Many VIPs that are placed at once: each node is sent its own together, and those of a node that has gone go
// to another.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { runningController, service, untilStatus } from '../fixture.ts';
import { agentOf, type TestAgent } from '../test-agent.ts';

const limit = { timeout: 20_000 };
const count = 100;

/** A controller that chooses slowly, with two agents that have the rules of all VIPs. */
async function beforeChoosing(t: TestContext) {
  const names = Array.from({ length: count }, (_, index) => `web-${index}`);
  const files = { 'a.yaml': names.map((name) => service(name)).join('---\n') };
  const timing = { settleMs: 60_000, claimMs: 60_000 };
  const running = await runningController(t, { files, timing });
  const { owners } = running.controller;
  const ask = owners.candidates.insteadOf;
  owners.candidates.insteadOf = (...more) => {
    const endMs = performance.now() + 1;
    while (performance.now() < endMs);
    return ask.apply(owners.candidates, more);
  };
  const agents = ['n1', 'n2'].map((name) => agentOf(t, running, name));
  await Promise.all(agents.map((agent) => agent.until(({ rules }) => rules.size === count)));
  await untilStatus(
    running,
    ({ nodes, seq }) => nodes.length === 2 && nodes.every((node) => node.seq === seq),
  );
  equal(owners.isSettled, false);
  owners.settle();
  return { running, agents };
}

function placedBy({ heard }: TestAgent): readonly number[] {
  return heard.flatMap((message) =>
    message.type === 'delta' && message.table === 'placements' ? [message.set.length] : [],
  );
}

test('each node is sent its 50 placements in at most two messages', limit, async (t) => {
  const { running, agents } = await beforeChoosing(t);
  await untilStatus(running, ({ vips }) => vips.every(({ state }) => state === 'serving'));
  for (const agent of agents) {
    const placed = placedBy(agent);
    equal(
      placed.reduce((sum, some) => sum + some, 0),
      count / 2,
    );
    // Even on a busy machine there is not one message per turn of choosing.
    ok(placed.length <= 2, `${placed}`);
  }
});

test('VIPs that were chosen for a node that disconnects meanwhile go to another', limit, async (t) => {
  const { running, agents } = await beforeChoosing(t);
  const [stays, goes] = agents as [TestAgent, TestAgent];
  const { owners } = running.controller;
  const isBegun = () =>
    owners.nominations.all().some((vip) => owners.nominations.get(vip)?.name === goes.name);
  await untilStatus(running, isBegun);
  ok(owners.all.size < count, 'not all are placed yet');
  goes.socket.terminate();
  await stays.until(({ placements }) => placements.size === count);
});

test('a node that is drained meanwhile is chosen for no more VIPs', limit, async (t) => {
  const { running, agents } = await beforeChoosing(t);
  const { owners, nodes } = running.controller;
  const chosenFor = (name: string) =>
    owners.nominations.all().filter((vip) => owners.nominations.get(vip)?.name === name);
  const [{ name }] = agents as [TestAgent];
  await untilStatus(running, () => chosenFor(name).length > 0);
  // Only the flag: the drain itself would also choose other nodes.
  nodes.at(name).isDrained = true;
  const before = chosenFor(name);
  ok(before.length < count / 2, `${before.length} were chosen already`);
  const chosen = new Set(before);
  await untilStatus(running, () => {
    for (const vip of chosenFor(name)) chosen.add(vip);
    return owners.all.size === count;
  });
  deepEqual([...chosen], before);
  ok(owners.all.values().every(({ node }) => node === 'n2'));
});

test('a node that is drained before it has committed is placed no VIP', limit, async (t) => {
  const { running, agents } = await beforeChoosing(t);
  const { owners, nodes } = running.controller;
  const [{ name }] = agents as [TestAgent];
  const isBegun = () => owners.nominations.all().some((vip) => owners.nominations.get(vip)?.name === name);
  await untilStatus(running, isBegun);
  running.controller.setDrained(name, true);
  owners.acked(nodes.at(name));
  await untilStatus(running, () => owners.all.size === count);
  deepEqual(new Set([...owners.all.values()].map(({ node }) => node)), new Set(['n2']));
});

test('the preferred node of a VIP is chosen if it is connected', limit, async (t) => {
  const running = await runningController(t, { files: {} });
  const agents = ['n1', 'n2'].map((name) => agentOf(t, running, name));
  await Promise.all(agents.map((agent) => agent.synced()));
  await untilStatus(running, () => running.controller.owners.isSettled);
  const wishes = new Map([
    ['10.77.0.100', 'n2'],
    ['10.77.0.101', 'n2'],
    ['10.77.0.102', 'gone'],
  ]);
  running.controller.nodes.preferred = (address) => wishes.get(address) ?? null;
  running.write('a.yaml', ['a', 'b', 'c'].map((name) => service(name)).join('---\n'));
  await untilStatus(
    running,
    ({ vips }) => vips.length === 3 && vips.every(({ state }) => state === 'serving'),
  );
  const { vips } = running.status();
  // The third goes to the node with fewest VIPs.
  deepEqual(
    vips.map(({ node }) => node),
    ['n2', 'n2', 'n1'],
  );
});
