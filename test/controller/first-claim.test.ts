// When a controller marks a placement as a first claim: no node is known to have held the VIP before.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { recordsOf } from '../../src/controller/sources/kubernetes/virtual-ip.ts';
import type { ControllerMessage } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { folder, runningController, service, type TestController, untilStatus } from './fixture.ts';
import { post } from './post.ts';
import { agentOf, type TestAgent } from './test-agent.ts';
import { twoNodes } from './two-nodes.ts';

const vip = '10.77.0.100' as Address;
const limit = { timeout: 10_000 };

/** The first claims that were sent, by each frame with placements. */
function said(agent: TestAgent): (readonly Address[])[] {
  const sets = (message: ControllerMessage): (readonly Address[])[] => {
    if ((message.type !== 'synced' && message.type !== 'delta') || message.table !== 'placements') return [];
    const count = message.type === 'synced' ? message.count : message.set.length;
    return count > 0 ? [message.first ?? []] : [];
  };
  return agent.heard.flatMap(sets);
}

async function move(running: TestController, node: string): Promise<number> {
  return (await post(running.url, 'move', { vip, node })).status;
}

test('the first placement of a VIP is a first claim, and the one after a move is not', limit, async (t) => {
  const { running, old, next } = await twoNodes(t);
  equal(await move(running, 'n2'), 200);
  // Each is sent it twice: the old one to be quiet, the new one to announce again.
  deepEqual(
    [said(old), said(next)],
    [
      [[vip], []],
      [[], []],
    ],
  );
});

test('a placement that was never held is a first claim again on the next stream', limit, async (t) => {
  const running = await runningController(t);
  const one = agentOf(t, running, 'n1');
  await one.synced();
  one.refuses = 'AddressConflict';
  running.write('a.yaml', service('web'));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  const two = agentOf(t, running, 'n2', { acks: true });
  await two.synced();
  await one.close();
  const again = agentOf(t, running, 'n1');
  await again.synced();
  deepEqual([said(one), said(again)], [[[vip]], [[vip]]]);
});

test('a VIP that is removed and added again is a first claim again', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  running.write('a.yaml', '');
  await agent.until(({ rules }) => rules.size === 0);
  running.write('a.yaml', service('web'));
  await agent.until(({ placements }) => placements.size === 1);
  deepEqual(said(agent), [[vip], [vip]]);
});

test('a VIP that a node held by the records is no first claim after a restart', limit, async (t) => {
  const stateDir = folder(t);
  const setup = { stateDir, files: { 'a.yaml': service('web') } };
  const before = await runningController(t, setup);
  await agentOf(t, before, 'n1').synced();
  await untilStatus(before, ({ vips }) => vips[0]?.state === 'serving');
  await before.stop();
  const after = await runningController(t, setup);
  const agent = agentOf(t, after, 'n1');
  await agent.until(({ placements }) => placements.size === 1);
  deepEqual(said(agent), [[]]);
});

test('a VIP that no node held by the records is a first claim after a restart too', limit, async (t) => {
  const stateDir = folder(t);
  const setup = { stateDir, files: { 'a.yaml': service('web') } };
  const before = await runningController(t, setup);
  const refusing = agentOf(t, before, 'n1');
  refusing.refuses = 'AddressConflict';
  await untilStatus(before, ({ vips }) => vips[0]?.state === 'refused');
  await before.stop();
  const after = await runningController(t, setup);
  const agent = agentOf(t, after, 'n1');
  await agent.until(({ placements }) => placements.size === 1);
  deepEqual(said(agent), [[vip]]);
  // The node holds it by now, which the next restart knows.
  await untilStatus(after, ({ vips }) => vips[0]?.state === 'serving');
  await after.stop();
  const last = agentOf(t, await runningController(t, setup), 'n1');
  await last.until(({ placements }) => placements.size === 1);
  deepEqual(said(last), [[]]);
});

test('of the records of a cluster, pending and refused VIPs are first claims', () => {
  const states = ['serving', 'pending', 'moving', 'refused'];
  const records = states.map((state, n) => ({
    address: `10.77.0.${n}` as Address,
    uid: '',
    generation: 1,
    pool: '',
    services: [],
    node: null,
    status: { state, node: 'n1', term: { generation: 1, n } },
  }));
  deepEqual([...recordsOf(records, () => '').unheld], ['10.77.0.1', '10.77.0.3']);
});

test('synced names the first claims of placements that the agent already has', limit, async (t) => {
  const running = await runningController(t);
  const one = agentOf(t, running, 'n1');
  await one.synced();
  one.refuses = 'AddressConflict';
  running.write('a.yaml', service('web'));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  const placements = one.digest('placements');
  await one.close();
  const again = agentOf(t, running, 'n1', { hello: { placements } });
  await again.synced();
  ok(!again.heard.some((message) => message.type === 'page' && message.table === 'placements'));
  deepEqual(said(again), [[vip]]);
});

test('each of 600 new placements is named as a first claim', limit, async (t) => {
  const names = Array.from({ length: 600 }, (_, index) => `s${index}`);
  const running = await runningController(t, { argv: ['--pool', 'p=10.77.0.0/22'] });
  const range = ['10.77.0.0/22'] as const;
  const agent = agentOf(t, running, 'n1', {
    hello: { allow: [...range] as never, onLink: [...range] as never },
  });
  await agent.synced();
  running.write('a.yaml', ...names.map((name) => service(name)));
  await agent.until(({ placements }) => placements.size === names.length);
  const first = said(agent).flat();
  deepEqual(first.toSorted(), [...agent.placements.keys()].toSorted());
});

test('a VIP is taken even if another of our nodes answers for its address', limit, async (t) => {
  const running = await runningController(t);
  const mac = '02:00:5e:10:00:02';
  const one = agentOf(t, running, 'n1');
  const two = agentOf(t, running, 'n2', { hello: { macs: [mac], onLink: [] } });
  await Promise.all([one.synced(), two.synced()]);
  one.refuses = 'AddressConflict';
  one.answeredBy = mac;
  running.write('a.yaml', service('web'));
  await one.until(({ placements }) => placements.has(vip));
  one.refuses = null;
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  deepEqual(said(one), [[vip], []]);
});

test('no node takes an address of another node while the agent of that node is away', limit, async (t) => {
  const running = await runningController(t);
  const mac = '02:00:5e:10:00:02';
  const owning = agentOf(t, running, 'n2', { acks: false, hello: { macs: [mac] } });
  const other = agentOf(t, running, 'n1', { acks: false });
  await Promise.all([owning.synced(), other.synced()]);
  running.write('a.yaml', service('web'));
  await Promise.all([owning, other].map((agent) => agent.until(({ rules }) => rules.has(vip))));
  const refusal = { code: 'AddressConflict', reason: 'it is an address of eth0' };
  owning.send({ type: 'refused', table: 'rules', key: vip, services: ['demo/web'], ...refusal });
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  await owning.close();
  await other.close();
  const again = agentOf(t, running, 'n1');
  await again.synced();
  await again.close();
  await untilStatus(running, ({ nodes }) => nodes.every(({ connected }) => !connected));
  deepEqual(said(again), []);
  const [{ state, message } = {}] = running.status().vips;
  const gone = 'if that node is gone for good, start the controller again';
  deepEqual([state, message], ['refused', `n2, which is away: it is an address of eth0; ${gone}`]);
  const last = agentOf(t, running, 'n1');
  await untilStatus(running, ({ nodes }) => nodes.some(({ name, seq }) => name === 'n1' && seq === 1));
  running.controller.forget('n2');
  await last.until(({ placements }) => placements.has(vip));
});

test('a node of ours that has the address itself is no former holder', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const mac = '02:00:5e:10:00:02';
  const one = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const owning = agentOf(t, running, 'n2', { hello: { macs: [mac] } });
  await owning.until(({ rules }) => rules.has(vip));
  const conflict = { type: 'refused', key: vip, services: ['demo/web'], code: 'AddressConflict' };
  owning.send({ ...conflict, table: 'rules', reason: 'it is an address of eth0' });
  await untilStatus(running, ({ nodes }) => nodes[1]?.refusals.length === 1);
  one.send({ ...conflict, table: 'placements', reason: 'a host answers', mac });
  one.send({ type: 'held', vips: [] });
  await one.until(({ placements }) => !placements.has(vip));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  await one.close();
  await untilStatus(running, ({ nodes }) => nodes[0]?.connected === false);
  const [{ node, message } = {}] = running.status().vips;
  deepEqual([node, message, said(one)], [null, 'n2: it is an address of eth0', [[vip]]]);
});

test('a VIP stays refused if an unknown host answers for its address', limit, async (t) => {
  const running = await runningController(t);
  const one = agentOf(t, running, 'n1', { hello: { macs: ['02:00:5e:10:00:01'] } });
  await one.synced();
  one.refuses = 'AddressConflict';
  one.answeredBy = '02:00:5e:10:57:12';
  running.write('a.yaml', service('web'));
  await untilStatus(running, ({ vips }) => vips[0]?.reason === 'AddressConflict');
  deepEqual(said(one), [[vip]]);
});
