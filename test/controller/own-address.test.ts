// VIPs that are addresses of a node of ours for itself: no other node may have them while that is so.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Address } from '../../src/state/address.ts';
import { folder, runningController, service, type TestController, untilStatus } from './fixture.ts';
import { post } from './post.ts';
import { agentOf, type TestAgent } from './test-agent.ts';
import { twoNodes } from './two-nodes.ts';

const vip = '10.77.0.100' as Address;
const mac = '02:00:5e:10:00:02';
const reason = 'it is an address of eth0';
const limit = { timeout: 20_000 };

function objects(agent: TestAgent): void {
  const refusal = { table: 'rules', key: vip, services: ['demo/web'], code: 'AddressConflict', reason };
  agent.send({ type: 'refused', ...refusal });
}

/** A node that has the address for itself, and is on no link of VIPs. It commits nothing by itself. */
function owningOf(context: TestContext, running: TestController): TestAgent {
  return agentOf(context, running, 'n2', { acks: false, hello: { macs: [mac], onLink: [] } });
}

const refusedBy = (running: TestController): Promise<void> =>
  untilStatus(running, ({ vips }) => vips[0]?.state === 'refused' && vips[0].message === `n2: ${reason}`);

/** Waits until the node has received all that was decided before. */
async function caughtUp(running: TestController, agent: TestAgent): Promise<void> {
  running.write('later.yaml', service('later', { spec: { loadBalancerIP: '10.77.0.199' } }));
  await agent.until(({ placements }) => placements.has('10.77.0.199' as Address));
  running.write('later.yaml', '');
  await agent.until(({ placements }) => !placements.has('10.77.0.199' as Address));
}

/** A VIP that n2 has for itself. */
async function owned(context: TestContext): Promise<{ running: TestController; owning: TestAgent }> {
  const running = await runningController(context, { files: { 'a.yaml': service('web') } });
  const owning = owningOf(context, running);
  await owning.until(({ rules }) => rules.has(vip));
  objects(owning);
  await refusedBy(running);
  return { running, owning };
}

/** A VIP that n2, which is away, has for itself and n1 could take. */
async function opposed(context: TestContext): Promise<{ running: TestController; other: TestAgent }> {
  const { running, owning } = await owned(context);
  const other = agentOf(context, running, 'n1');
  await untilStatus(running, ({ nodes }) => nodes[1]?.seq === 1);
  await owning.close();
  await untilStatus(running, ({ nodes }) => nodes[0]?.connected === false);
  return { running, other };
}

test(
  'an address of a node stays its own when its agent is back, until the agent has the rules',
  limit,
  async (t) => {
    const { running, other } = await opposed(t);
    const back = owningOf(t, running);
    await back.synced();
    await caughtUp(running, other);
    equal(other.placements.has(vip), false);
    await refusedBy(running);
    objects(back);
    back.commit('rules');
    await untilStatus(running, ({ nodes }) => nodes[0]?.seq !== null);
    await caughtUp(running, other);
    equal(other.placements.has(vip), false);
    await refusedBy(running);
  },
);

test('an agent that is back and commits the rules of a VIP objects to it no more', limit, async (t) => {
  const { running, other } = await opposed(t);
  const back = owningOf(t, running);
  await back.synced();
  back.commit('rules');
  await other.until(({ placements }) => placements.has(vip));
});

test('a refusal stays until its agent takes it back, though the VIP was gone meanwhile', limit, async (t) => {
  const { running, owning } = await owned(t);
  const other = agentOf(t, running, 'n1');
  await other.until(({ rules }) => rules.has(vip));
  running.write('a.yaml', '');
  await other.until(({ rules }) => !rules.has(vip));
  running.write('a.yaml', service('web'));
  await other.until(({ rules }) => rules.has(vip));
  await caughtUp(running, other);
  equal(other.placements.has(vip), false);
  owning.send({ type: 'accepted', table: 'rules', key: vip });
  await other.until(({ placements }) => placements.has(vip));
});

test('a move to a node is refused with what another node said of the address', limit, async (t) => {
  const { running, other } = await opposed(t);
  const { status, body } = await post(running.url, 'move', { vip, node: other.name });
  deepEqual([status, body.error?.message], [409, `n1: refused by n2: ${reason}`]);
});

test('no node gets a VIP that another finds to be its own before it has the rules', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const other = agentOf(t, running, 'n1', { acks: false });
  await untilStatus(running, ({ vips }) => vips[0]?.message === 'n1 is committing its rules');
  const owning = owningOf(t, running);
  await owning.until(({ rules }) => rules.has(vip));
  objects(owning);
  await refusedBy(running);
  other.acks = true;
  other.commit('rules');
  await caughtUp(running, other);
  equal(other.placements.has(vip), false);
});

test('a node that does not hold a VIP yet loses it if another finds it to be its own', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const other = agentOf(t, running, 'n1', { acks: false });
  await other.synced();
  other.commit('rules');
  await other.until(({ placements }) => placements.has(vip));
  const owning = owningOf(t, running);
  await owning.until(({ rules }) => rules.has(vip));
  objects(owning);
  await other.until(({ placements }) => !placements.has(vip));
  await refusedBy(running);
});

test('a node that holds a VIP keeps it if another finds it to be its own', limit, async (t) => {
  const { running, old, next } = await twoNodes(t);
  objects(next);
  await untilStatus(running, ({ nodes }) => nodes[1]?.refusals.length === 1);
  deepEqual([old.placements.has(vip), running.status().vips[0]?.state], [true, 'serving']);
});

test(
  'a node that comes back without a VIP does not get it if another finds it to be its own',
  limit,
  async (t) => {
    const { running, old, next } = await twoNodes(t);
    objects(next);
    await untilStatus(running, ({ nodes }) => nodes[1]?.refusals.length === 1);
    await old.close();
    const back = agentOf(t, running, 'n1');
    await back.synced();
    await refusedBy(running);
    equal(back.placements.has(vip), false);
  },
);

test('a move ends if a third node finds the VIP to be its own', limit, async (t) => {
  const { running, old, next } = await twoNodes(t);
  const third = agentOf(t, running, 'n3', { acks: false });
  await third.until(({ rules }) => rules.has(vip));
  next.acks = false;
  const moving = post(running.url, 'move', { vip, node: 'n2' });
  await next.until(({ placements }) => placements.has(vip));
  objects(third);
  const { status, body } = await moving;
  equal(status, 409);
  match(body.error?.message ?? '', /n3 refused it: AddressConflict: it is an address of eth0/);
  await next.until(({ placements }) => !placements.has(vip));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n1');
  ok(old.placements.has(vip));
});

/** A controller that restarts and reads one of its 20 Services: it asks again whether the others are gone. */
async function restarted(context: TestContext, meet: (before: TestController) => Promise<void>) {
  const setup = { stateDir: folder(context), services: folder(context) };
  const names = Array.from({ length: 20 }, (_, index) => `s${index}`);
  const files = { 'b.yaml': names.map((name) => service(name)).join('---\n') };
  const before = await runningController(context, { ...setup, files });
  await untilStatus(before, ({ vips }) => vips.length === names.length);
  await meet(before);
  await before.stop();
  writeFileSync(join(setup.services, 'b.yaml'), '');
  const timing = { massRemovalWaitMs: 3000 };
  return await runningController(context, { ...setup, files: { 'a.yaml': service('s0') }, timing });
}

const welcomed = (agent: TestAgent): Promise<void> =>
  agent.until(({ heard }) => heard.some(({ type }) => type === 'welcome'));

test('what nodes say of their addresses before the first reading is believed counts', limit, async (t) => {
  const running = await restarted(t, async () => undefined);
  const owning = owningOf(t, running);
  await welcomed(owning);
  objects(owning);
  const other = agentOf(t, running, 'n1');
  await other.synced();
  await refusedBy(running);
  await caughtUp(running, other);
  equal(other.placements.has(vip), false);
});

test('a VIP that its node refuses before the first reading is believed goes to another', limit, async (t) => {
  const running = await restarted(t, async (before) => {
    agentOf(t, before, 'n1').refuses = 'KernelRefused';
    await untilStatus(before, ({ vips }) =>
      vips.every(({ node, state }) => node === 'n1' && state === 'refused'),
    );
  });
  const refusing = agentOf(t, running, 'n1', { acks: false });
  const other = agentOf(t, running, 'n2', { hello: { macs: [mac] } });
  await Promise.all([welcomed(refusing), welcomed(other)]);
  const refusal = { type: 'refused', table: 'placements', services: [], code: 'KernelRefused', reason: '' };
  const known = [vip, '10.77.0.119'];
  for (const key of [...known, '10.77.0.120']) refusing.send({ ...refusal, key });
  refusing.send({ ...refusal, key: '10.77.0.118', code: 'AddressConflict', mac });
  await untilStatus(running, ({ nodes }) => nodes[0]?.refusals.length === 3);
  deepEqual(
    running.status().nodes[0]?.refusals.map(({ key }) => key),
    [...known, '10.77.0.118'],
  );
  await other.until(({ placements }) => placements.has(vip));
  deepEqual(running.controller.owners.nominations.all(), []);
});

test('a VIP of which a node heard elsewhere is tried again when that node is gone', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const hearing = agentOf(t, running, 'n1');
  hearing.refuses = 'AddressConflict';
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  hearing.acks = false;
  const other = agentOf(t, running, 'n2');
  await other.synced();
  running.write('a.yaml', '');
  await hearing.until(({ placements }) => !placements.has(vip));
  running.write('a.yaml', service('web'));
  await untilStatus(running, ({ vips }) => vips[0]?.node === null && vips[0].state === 'refused');
  equal(other.placements.has(vip), false);
  await hearing.close();
  await other.until(({ placements }) => placements.has(vip));
});
