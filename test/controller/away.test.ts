// A VIP that is removed while its node is away and wanted again before the node is back: the kernel of the
// node may still have it, and two nodes would answer for it.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { MoveReason } from '../../src/controller/owners/moves.ts';
import type { ServiceManifest } from '../../src/controller/service.ts';
import type { Session } from '../../src/controller/sessions.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import { vipState } from '../../src/controller/status/vip-state.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { runningController, service, serviceObject, untilStatus } from './fixture.ts';
import { hello, joined, type Ruling, ruling, servicesOf, settled, term, vip } from './ruling.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 10_000 };
const web = 'demo/web-0' as ServiceKey;
const held = [{ address: vip, term }];

/** `a` owns the VIP and `b` has its rules, and may have it as well; `a` is away by now. */
async function away(heldByOwner = held): Promise<Ruling & { readonly b: Session }> {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const a = joined(one, hello('a', heldByOwner));
  const b = joined(one, hello('b'));
  await settled(one);
  one.sessions.close(a);
  return { ...one, b };
}

/** The same Service, which now requests its address. */
function asking(): readonly ServiceManifest[] {
  const annotations = { 'vipward.io/addresses': vip };
  return readDocument(serviceObject('web-0', { annotations })).services;
}

/** `b` commits its rules, so that it could be given the VIP at once. */
async function committed({ controller, sessions, b, ...one }: Awaited<ReturnType<typeof away>>) {
  const { seq } = controller.rules;
  equal(sessions.message(b, { type: 'ack', table: 'rules', seq, commitUs: 1 }), null);
  await settled({ controller, sessions, ...one });
}

const owner = ({ controller }: Ruling) => controller.owners.ownerOf(vip);

test('a Service that is made anew waits for the absent node that may have its address', async () => {
  const one = await away();
  one.controller.apply({ set: [], remove: [web] });
  equal(owner(one), undefined);
  one.controller.apply({ set: asking(), remove: [] });
  await committed(one);
  deepEqual([owner(one), one.b.node.placements.get(vip)], [{ node: 'a', term }, undefined]);
  equal(vipState(one.controller, vip).state, 'unowned');
  const a = joined(one, hello('a', held));
  deepEqual([owner(one), a.node.placements.get(vip)], [{ node: 'a', term }, held[0]]);
  equal(vipState(one.controller, vip).state, 'serving');
});

test('a Service that is made anew waits for the absent node that may take its address unheard', async () => {
  const one = await away([]);
  one.controller.apply({ set: [], remove: [web] });
  one.controller.apply({ set: asking(), remove: [] });
  await committed(one);
  deepEqual([owner(one), one.b.node.placements.get(vip)], [{ node: 'a', term }, undefined]);
});

test('a VIP that is wanted again goes to a connected node that holds it, before an absent one', async () => {
  const one = await away();
  const older = { generation: 1, n: 0 };
  equal(one.sessions.message(one.b, { type: 'held', vips: [{ address: vip, term: older }] }), null);
  one.controller.apply({ set: [], remove: [web] });
  one.controller.apply({ set: asking(), remove: [] });
  deepEqual(owner(one), { node: 'b', term: older });
});

test('a VIP waits for an absent node that was given it again before it had let go', () => {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const a = joined(one, hello('a', held));
  one.controller.owners.settle();
  one.controller.owners.withdraw(vip);
  equal(owner(one)?.node, 'a');
  one.sessions.close(a);
  one.controller.apply({ set: [], remove: [web] });
  one.controller.apply({ set: asking(), remove: [] });
  deepEqual(owner(one), { node: 'a', term });
});

test('a Service that was refused meanwhile waits for the absent node with its address', async () => {
  const one = await away();
  one.controller.apply({ set: servicesOf(1, { ports: [] }), remove: [] });
  deepEqual([owner(one), one.controller.allocator.refusals.size], [undefined, 1]);
  one.controller.apply({ set: servicesOf(1), remove: [] });
  await committed(one);
  deepEqual([owner(one), one.b.node.placements.get(vip)], [{ node: 'a', term }, undefined]);
});

test('an absent node that comes back without the VIP is given it', async () => {
  const one = await away();
  one.controller.apply({ set: [], remove: [web] });
  one.controller.apply({ set: asking(), remove: [] });
  const a = joined(one, hello('a'));
  await committed(one);
  deepEqual([owner(one)?.node, a.node.placements.get(vip)?.address], ['a', vip]);
});

test('a VIP that was moved away from an absent node does not wait for that node', async () => {
  const one = await away();
  const { controller, sessions, b } = one;
  const { moves } = controller.owners;
  const order = { to: b.node, reason: MoveReason.Asked, deadlineMs: 60_000 };
  const moved = moves.begin(vip, order);
  const placed = b.node.placements.get(vip);
  const set = placed === undefined ? [] : [placed];
  equal(sessions.message(b, { type: 'heldDelta', set, remove: [] }), null);
  deepEqual(await moved, { term: placed?.term });
  controller.apply({ set: [], remove: [web] });
  equal(sessions.message(b, { type: 'heldDelta', set: [], remove: [vip] }), null);
  equal(
    sessions.message(b, { type: 'ack', table: 'placements', seq: b.node.placements.seq, commitUs: 1 }),
    null,
  );
  controller.apply({ set: asking(), remove: [] });
  await committed(one);
  equal(owner(one)?.node, 'b');
});

test('a VIP that an absent node had lost for lack of endpoints does not wait for that node', async () => {
  const endpoints = new Set(['a']);
  const one = ruling({ endpoints });
  const { controller, eligibility, sessions } = one;
  const spec = { externalTrafficPolicy: 'Local' };
  controller.publish({ set: servicesOf(1, spec), remove: [] });
  const a = joined(one, hello('a', held));
  const b = joined(one, hello('b'));
  await settled(one);
  equal(owner(one)?.node, 'a');
  sessions.close(a);
  endpoints.delete('a');
  eligibility.review([vip]);
  await committed({ ...one, b });
  equal(owner(one), undefined);
  controller.apply({ set: [], remove: [web] });
  controller.apply({ set: asking(), remove: [] });
  await committed({ ...one, b });
  equal(owner(one)?.node, 'b');
});

test('a VIP does not wait for an absent node that is drained or whose Node is deleted', async () => {
  for (const end of [
    ({ controller }: Ruling) => controller.setDrained('a', true),
    ({ controller }: Ruling) => controller.forget('a'),
  ]) {
    const one = await away();
    one.controller.apply({ set: [], remove: [web] });
    end(one);
    one.controller.apply({ set: asking(), remove: [] });
    await committed(one);
    equal(owner(one)?.node, 'b');
  }
});

test('a VIP that another node has had does not wait for an undrained absent node', async () => {
  const one = await away();
  const { controller, sessions, b } = one;
  controller.apply({ set: [], remove: [web] });
  controller.setDrained('a', true);
  controller.apply({ set: asking(), remove: [] });
  await committed(one);
  const placed = b.node.placements.get(vip);
  ok(placed !== undefined);
  equal(sessions.message(b, { type: 'heldDelta', set: [placed], remove: [] }), null);
  controller.setDrained('a', false);
  controller.apply({ set: [], remove: [web] });
  equal(sessions.message(b, { type: 'heldDelta', set: [], remove: [vip] }), null);
  const { seq } = b.node.placements;
  equal(sessions.message(b, { type: 'ack', table: 'placements', seq, commitUs: 1 }), null);
  controller.apply({ set: asking(), remove: [] });
  await committed(one);
  equal(owner(one)?.node, 'b');
});

const ways = { 'is back': true, 'is forgotten': false };
for (const [way, isBack] of Object.entries(ways)) {
  test(`a Service that waits for an address gets that of an absent node that ${way}`, limit, async (t) => {
    const argv = ['--pool', `p=${vip}`];
    const running = await runningController(t, { files: { 'a.yaml': service('web') }, argv });
    const a = agentOf(t, running, 'a');
    await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
    const kept = [...a.placements.values()];
    await a.close();
    running.write('a.yaml', service('next'));
    await untilStatus(running, ({ refused }) => refused[0]?.reason === 'PoolExhausted');
    agentOf(t, running, isBack ? 'a' : 'b', isBack ? { hello: { held: kept } } : {});
    if (!isBack) running.controller.forget('a');
    await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
    deepEqual(running.status().vips[0]?.services[0]?.key, 'demo/next');
  });
}
