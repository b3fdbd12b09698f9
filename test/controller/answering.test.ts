// VIPs for which a node of ours answers without being known to hold them: only that node can say whether such
// an address is its own.

import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Address } from '../../src/state/address.ts';
import { runningController, service, type TestController, untilStatus } from './fixture.ts';
import { agentOf, type TestAgent } from './test-agent.ts';

const vip = '10.77.0.100' as Address;
const mac = '02:00:5e:10:00:02';
const limit = { timeout: 20_000 };
const conflict = { type: 'refused', key: vip, services: [], code: 'AddressConflict' };

interface Rivals {
  readonly running: TestController;
  /** It refuses the VIP since the other one answers. */
  readonly refusing: TestAgent;
  /** It commits nothing by itself. */
  readonly answering: TestAgent;
}

async function rivals(context: TestContext): Promise<Rivals> {
  const running = await runningController(context, { files: { 'a.yaml': service('web') } });
  const answering = agentOf(context, running, 'n2', { acks: false, hello: { macs: [mac], onLink: [] } });
  await answering.until(({ rules }) => rules.has(vip));
  const refusing = agentOf(context, running, 'n1', { acks: false });
  await refusing.synced();
  refusing.commit('rules');
  await refusing.until(({ placements }) => placements.has(vip));
  refusing.send({ ...conflict, table: 'placements', reason: 'a host answers', mac });
  await untilStatus(running, ({ vips }) => vips[0]?.message === 'a host answers');
  return { running, refusing, answering };
}

/** The placements that were sent to an agent, each with whether it is a first claim. */
function placed({ heard }: TestAgent): (readonly [Address, boolean])[] {
  return heard.flatMap((message) => {
    if (message.type !== 'delta' || message.table !== 'placements') return [];
    return message.set.map(({ address }) => [address, message.first?.includes(address) === true] as const);
  });
}

test('a VIP is placed again once the node that answers for it has its rules', limit, async (t) => {
  const { running, refusing, answering } = await rivals(t);
  running.write('b.yaml', service('later'));
  await refusing.until(({ rules }) => rules.size === 2);
  refusing.commit('rules');
  await refusing.until(({ placements }) => placements.size === 2);
  deepEqual(placed(refusing), [
    [vip, true],
    ['10.77.0.101', true],
  ]);
  answering.commit('rules');
  await refusing.until((agent) => placed(agent).length === 3);
  deepEqual(placed(refusing).at(-1), [vip, false]);
  deepEqual(
    running.status().nodes.flatMap(({ refusals }) => refusals),
    [],
  );
});

test('the node that answers for a VIP may say that it is its own address', limit, async (t) => {
  const { running, refusing, answering } = await rivals(t);
  const reason = 'it is an address of eth0';
  answering.send({ ...conflict, table: 'rules', reason });
  await refusing.until(({ placements }) => !placements.has(vip));
  refusing.send({ type: 'accepted', table: 'placements', key: vip });
  answering.commit('rules');
  await untilStatus(running, ({ nodes }) => nodes[0]?.seq === answering.seq.rules);
  await untilStatus(running, ({ vips }) => vips[0]?.message === `n2: ${reason}`);
  equal(running.controller.nodes.served.has(vip), false);
});

test('a refusal that was taken back meanwhile places no VIP again', limit, async (t) => {
  const { running, refusing, answering } = await rivals(t);
  refusing.send({ type: 'accepted', table: 'placements', key: vip });
  refusing.commit('placements');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const { term } = running.status().vips[0] ?? {};
  answering.commit('rules');
  await untilStatus(running, ({ nodes }) => nodes[0]?.seq === answering.seq.rules);
  deepEqual([running.status().vips[0]?.term, placed(refusing)], [term, [[vip, true]]]);
});

test('no other node gets a VIP whose refusing node is away', limit, async (t) => {
  const { running, refusing, answering } = await rivals(t);
  const other = agentOf(t, running, 'n3');
  await other.synced();
  await refusing.close();
  await untilStatus(running, ({ nodes }) => nodes[1]?.connected === false);
  answering.commit('rules');
  await untilStatus(running, ({ nodes }) => nodes[0]?.seq === answering.seq.rules);
  deepEqual([running.status().vips[0]?.node, other.placements.size], ['n1', 0]);
});

test('a VIP stays refused while the agent of the node that answers for it is away', limit, async (t) => {
  const { running, refusing, answering } = await rivals(t);
  await answering.close();
  await untilStatus(running, ({ nodes }) => nodes[0]?.connected === false);
  refusing.send({ ...conflict, table: 'placements', reason: 'a host still answers', mac });
  await untilStatus(running, ({ vips }) => vips[0]?.message === 'a host still answers');
  deepEqual([running.status().vips[0]?.node, running.controller.nodes.served.has(vip)], ['n1', false]);
  agentOf(t, running, 'n2', { hello: { macs: [mac], onLink: [] } });
  await refusing.until((agent) => placed(agent).length === 2);
  deepEqual(placed(refusing).at(-1), [vip, false]);
});
