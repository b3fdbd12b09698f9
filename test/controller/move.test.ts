// The order of a move, and which node has the VIP if one does not take it.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../src/state/address.ts';
import { runningController, service, untilStatus } from './fixture.ts';
import { post } from './post.ts';
import { agentOf, type TestAgent } from './test-agent.ts';
import { twoNodes } from './two-nodes.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 10_000 };

/** The deltas of placements that an agent was sent: the terms it set, and how many it removed and muted. */
function told(agent: TestAgent) {
  return agent.heard.flatMap((message) => {
    if (message.type !== 'delta' || message.table !== 'placements') return [];
    const { set, remove, quiet = [] } = message;
    return [{ set: set.map(({ term }) => term.n), gone: remove.length, quiet: quiet.length }];
  });
}

test('in a move the new owner holds the VIP before the old owner is told to let go', limit, async (t) => {
  const { running, old, next } = await twoNodes(t);
  next.acks = false;
  const asked = post(running.url, 'move', { vip: first, node: 'n2' });
  await next.until(({ placements }) => placements.has(first));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'moving');
  ok(old.placements.has(first));
  await old.until((agent) => told(agent).at(-1)?.quiet === 1);
  old.acks = false;
  next.acks = true;
  next.commit('placements');
  await old.until(({ placements }) => !placements.has(first));
  equal(running.status().vips[0]?.state, 'moving');
  equal(told(next).length, 1);
  old.commit('placements');
  equal((await asked).status, 200);
  deepEqual([running.status().vips[0]?.node, running.status().vips[0]?.state], ['n2', 'serving']);
  const terms = [old, next].map((agent) => told(agent)[0]?.set[0]);
  ok((terms[0] ?? 0) < (terms[1] ?? 0), 'the new owner has the higher term');
});

test('in a move the old owner is muted, and the new owner announces again at the end', limit, async (t) => {
  const { running, old, next } = await twoNodes(t);
  const asked = post(running.url, 'move', { vip: first, node: 'n2' });
  await next.until((agent) => told(agent).length === 2);
  equal((await asked).status, 200);
  const [claim, again] = told(next);
  deepEqual([claim?.quiet, again], [0, claim]);
  const [given, muted, gone] = told(old);
  deepEqual(muted, { set: given?.set, gone: 0, quiet: 1 });
  deepEqual(gone, { set: [], gone: 1, quiet: 0 });
  // It is muted for that one move, and announces a later placement.
  equal((await post(running.url, 'move', { vip: first, node: 'n1' })).status, 200);
  equal(told(old)[3]?.quiet, 0);
});

test('an old owner that connects again during a move is muted again', limit, async (t) => {
  const { running, old, next } = await twoNodes(t);
  next.acks = false;
  const asked = post(running.url, 'move', { vip: first, node: 'n2' });
  await old.until((agent) => told(agent).at(-1)?.quiet === 1);
  const held = [...old.placements.values()];
  // It has the placement: no page has to name it.
  const hello = { held, rules: old.digest('rules'), placements: old.digest('placements') };
  const again = agentOf(t, running, 'n1', { hello });
  await again.until((agent) => told(agent).length > 0);
  deepEqual(told(again), [{ set: held.map(({ term }) => term.n), gone: 0, quiet: 1 }]);
  next.acks = true;
  next.commit('placements');
  equal((await asked).status, 200);
  equal(told(again).at(-1)?.gone, 1);
});

test('a move that the new owner does not announce in time is undone', limit, async (t) => {
  const { running, old, next } = await twoNodes(t, { moveDeadlineMs: 300 });
  next.acks = false;
  const { status, body } = await post(running.url, 'move', { vip: first, node: 'n2' });
  equal(status, 409);
  match(body.error?.message ?? '', /n2 has not announced it within 0\.3 s, and n1 keeps it/);
  await next.until(({ placements }) => placements.size === 0);
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n1');
  ok(old.placements.has(first));
  deepEqual(
    told(old).map(({ quiet }) => quiet),
    [0, 1, 0],
    'the old owner announces again',
  );
});

test('a move whose old owner does not let go in time answers 409, and stays done', limit, async (t) => {
  const { running, old } = await twoNodes(t, { moveDeadlineMs: 3000 });
  old.acks = false;
  const { status, body } = await post(running.url, 'move', { vip: first, node: 'n2' });
  equal(status, 409);
  match(body.error?.message ?? '', /n2 has it, but n1 did not confirm its release within 3 s/);
  deepEqual([running.status().vips[0]?.node, running.status().vips[0]?.state], ['n2', 'serving']);
});

test('a move that the new owner refuses leaves the VIP on the old owner', limit, async (t) => {
  const { running, old, next } = await twoNodes(t);
  next.refuses = 'AddressConflict';
  const { status, body } = await post(running.url, 'move', { vip: first, node: 'n2' });
  equal(status, 409);
  match(body.error?.message ?? '', /n2 refused it: AddressConflict: it is the gateway/);
  await next.until(({ placements }) => placements.size === 0);
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n1');
  ok(old.placements.has(first));
});

test('a VIP that its node refuses goes to another node', limit, async (t) => {
  const running = await runningController(t);
  const agents = ['n1', 'n2'].map((name) => agentOf(t, running, name));
  await Promise.all(agents.map((agent) => agent.synced()));
  const [one, two] = agents;
  ok(one !== undefined && two !== undefined);
  one.refuses = 'KernelRefused';
  running.write('a.yaml', service('a'), service('b'));
  await untilStatus(
    running,
    ({ vips }) => vips.length === 2 && vips.every(({ state, node }) => state === 'serving' && node === 'n2'),
  );
  deepEqual(
    running
      .status()
      .nodes.find(({ name }) => name === 'n1')
      ?.refusals.map(({ code }) => code),
    ['KernelRefused'],
  );
});

test("a VIP that is a node's own address is given to no other node", limit, async (t) => {
  const running = await runningController(t);
  const [one, two] = ['n1', 'n2'].map((name) => agentOf(t, running, name));
  ok(one !== undefined && two !== undefined);
  await Promise.all([one.synced(), two.synced()]);
  one.refuses = 'AddressConflict';
  two.refuses = 'AddressConflict';
  running.write('a.yaml', service('a'));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  const [owner, other] = one.placements.size > 0 ? [one, two] : [two, one];
  other.refuses = null;
  running.write('b.yaml', service('b'));
  await untilStatus(running, ({ vips }) => vips.length === 2 && vips[1]?.reason !== 'Allocated');
  deepEqual(
    [running.status().vips[0]?.state, running.status().vips[0]?.reason, other.placements.has(first)],
    ['refused', 'AddressConflict', false],
  );
  const asked = await post(running.url, 'move', { vip: first, node: other.name });
  deepEqual([asked.status, asked.body.error?.code], [409, 'NotEligible']);
  equal(owner.closed, null);
});
