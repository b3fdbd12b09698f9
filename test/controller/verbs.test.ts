// The verbs that change placements: who may use them, what is refused and why, and which VIPs drained nodes
// keep.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Address } from '../../src/state/address.ts';
import { folder, runningController, service, type TestController, untilStatus } from './fixture.ts';
import { type Answer, post } from './post.ts';
import { agentOf } from './test-agent.ts';
import { twoNodes } from './two-nodes.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 10_000 };

test('an impossible or invalid move is refused with the reason', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const elsewhere = agentOf(t, running, 'far', { hello: { onLink: [] } });
  await elsewhere.synced();
  const cases = [
    [{ vip: first, node: 'nobody' }, 409, /not connected/],
    [{ vip: first, node: 'far' }, 409, /not on its link/],
    [{ vip: '10.77.0.250', node: 'n1' }, 404, /is not a VIP/],
    [{ vip: 'x', node: 'n1' }, 400, /expected an IPv4 or IPv6 address/],
    [{ vip: first }, 400, /^node: expected a text of 1-253 characters, got nothing$/],
    [{ vip: first, node: 'x'.repeat(254) }, 400, /^node: .* got one of 254$/],
    [`{"vip":${'['.repeat(20_000)}${']'.repeat(20_000)},"node":"n1"}`, 400, /^vip: .* got another type$/],
    ['{', 400, /not JSON/],
  ] as const;
  for (const [body, status, message] of cases) {
    const answer = await post(running.url, 'move', body);
    equal(answer.status, status);
    match(answer.body.error?.message ?? '', message);
  }
  equal((await post(running.url, 'move', { vip: first, node: 'n1' })).status, 200);
});

/** Drains a node with many VIPs; `onChoice` is called before another node is chosen for each of them. */
async function drainOfMany(t: TestContext, onChoice: (running: TestController) => void) {
  const names = Array.from({ length: 60 }, (_, index) => `s${index}`);
  const running = await runningController(t, {
    files: { 'a.yaml': names.map((name) => service(name)).join('---\n') },
  });
  agentOf(t, running, 'n1');
  const isServing = ({ vips }: ReturnType<typeof running.status>) =>
    vips.every(({ state }) => state === 'serving');
  await untilStatus(running, isServing);
  await agentOf(t, running, 'n2').until(({ rules }) => rules.size === names.length);
  await untilStatus(running, ({ nodes, seq }) => nodes[1]?.seq === seq);
  const { candidates } = running.controller.owners;
  const { ready } = candidates;
  candidates.ready = (...asked) => {
    onChoice(running);
    const endMs = performance.now() + 1;
    while (performance.now() < endMs);
    return ready.apply(candidates, asked);
  };
  return { running, vips: names.length, drained: post(running.url, 'drain', { node: 'n1' }) };
}

test('a drain of many VIPs chooses their nodes in many turns', limit, async (t) => {
  let [isDrained, chosen, most] = [false, 0, 0];
  const { vips, drained } = await drainOfMany(t, () => chosen++);
  void drained.finally(() => {
    isDrained = true;
  });
  for (; !isDrained; chosen = 0, await turn()) most = Math.max(most, chosen);
  deepEqual((await drained).body, { node: 'n1', moved: vips });
  ok(most <= 10, `${most} in one turn`);
});

test('a node that is undrained in the middle of its drain keeps the rest of its VIPs', limit, async (t) => {
  let chosen = 0;
  const { running, vips, drained } = await drainOfMany(t, ({ controller }) => {
    if (++chosen === 5) controller.setDrained('n1', false);
  });
  const { status, body } = await drained;
  deepEqual([status, body.error?.code, chosen], [409, 'MoveFailed', 5]);
  match(body.error?.message ?? '', /^n1 was undrained meanwhile, and 55 of its 60 VIPs stay; /);
  const kept = running.status().vips.filter(({ node }) => node === 'n1');
  equal(kept.length, vips - 5);
});

test('drain moves every VIP away, and undrain moves none back', limit, async (t) => {
  const running = await runningController(t);
  const agents = ['n1', 'n2', 'n3'].map((name) => agentOf(t, running, name));
  await Promise.all(agents.map((agent) => agent.synced()));
  running.write('a.yaml', ...Array.from({ length: 6 }, (_, index) => service(`s${index}`)));
  await untilStatus(
    running,
    ({ vips }) => vips.length === 6 && vips.every(({ state }) => state === 'serving'),
  );
  deepEqual(await post(running.url, 'drain', { node: 'n1' }), {
    status: 200,
    body: { node: 'n1', moved: 2 },
  });
  deepEqual(
    agents.map(({ placements }) => placements.size),
    [0, 3, 3],
  );
  equal((await post(running.url, 'move', { vip: first, node: 'n1' })).status, 409);
  const before = running.status().vips.map(({ term }) => term);
  equal((await post(running.url, 'undrain', { node: 'n1' })).status, 200);
  deepEqual(
    running.status().vips.map(({ term }) => term),
    before,
  );
  running.write('b.yaml', service('new'));
  await untilStatus(running, ({ vips }) => vips.some(({ node }) => node === 'n1'));
});

test('a drain moves a VIP that was on its way from the node and comes back', limit, async (t) => {
  const { running, old, next } = await twoNodes(t, { moveDeadlineMs: 500 });
  next.acks = false;
  const moved = post(running.url, 'move', { vip: first, node: 'n2' });
  await next.until(({ placements }) => placements.has(first));
  const drained = post(running.url, 'drain', { node: 'n1' });
  equal((await moved).status, 409);
  next.acks = true;
  next.commit('placements');
  deepEqual(await drained, { status: 200, body: { node: 'n1', moved: 1 } });
  equal(running.status().vips[0]?.node, 'n2');
  equal(old.placements.has(first), false);
});

test('drain without another eligible node answers 409, and outlives a restart', limit, async (t) => {
  const [services, stateDir] = [folder(t), folder(t)];
  const running = await runningController(t, { services, stateDir, files: { 'a.yaml': service('web') } });
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const { status, body } = await post(running.url, 'drain', { node: 'n1' });
  equal(status, 409);
  const said = /^n1 is drained and gets no more VIPs, but 1 of its 1 VIPs stay; 10\.77\.0\.100: no other/;
  match(body.error?.message ?? '', said);
  match(body.error?.next ?? '', /^vipward undrain n1 undoes it/);
  equal(running.status().vips[0]?.node, 'n1');
  await running.stop();
  const again = await runningController(t, { services, stateDir });
  equal(again.status().nodes[0]?.drained, true);
});

test(
  'a node that left for good with its VIPs is drained, undrained, and gone at the next start',
  limit,
  async (t) => {
    const [services, stateDir] = [folder(t), folder(t)];
    const running = await runningController(t, { services, stateDir, files: { 'a.yaml': service('web') } });
    const gone = agentOf(t, running, 'n1');
    await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
    const other = agentOf(t, running, 'n2');
    await other.until(({ rules }) => rules.has(first));
    await untilStatus(running, ({ nodes }) => nodes.every(({ seq }) => seq === 1));
    await gone.close();
    await untilStatus(running, ({ vips }) => vips[0]?.state === 'unowned');
    const drained = await post(running.url, 'drain', { node: 'n1' });
    deepEqual(drained, { status: 200, body: { node: 'n1', moved: 1 } });
    await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n2');
    equal((await post(running.url, 'undrain', { node: 'n1' })).status, 200);
    deepEqual(
      running.status().nodes.map(({ name }) => name),
      ['n1', 'n2'],
    );
    await running.stop();
    const again = await runningController(t, { services, stateDir });
    deepEqual(
      again.status().nodes.map(({ name }) => name),
      ['n2'],
    );
  },
);

test('undrain needs the token of the operator, and not that of a node', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'n1 secret-1\noperator secret-0\n');
  const argv = ['--token-file', tokens];
  const running = await runningController(t, { files: { 'a.yaml': service('web') }, argv });
  agentOf(t, running, 'n1', { token: 'secret-1' });
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const ask = async (token?: string) => {
    const { status, body } = await post(running.url, 'undrain', { node: 'n1' }, token);
    return [status, body.error?.message];
  };
  deepEqual(
    [await ask(), await ask('wrong'), await ask('secret-1'), await ask('secret-0')],
    [
      [401, 'the request has no token, and no valid certificate'],
      [401, 'the token of the request is not valid'],
      [403, 'n1 is a node: only an operator may change placements'],
      [200, undefined],
    ],
  );
});

test('HTTP answers an unknown path by 404 with the remedy, a wrong method by 405', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const ask = async (path: string, method: string) =>
    (await fetch(`${running.url}${path}`, { method })).status;
  equal(await ask('/healthz', 'GET'), 200);
  equal(await ask('/healthz', 'HEAD'), 200);
  equal(await ask('/healthz', 'DELETE'), 405);
  equal(await ask('/api/v1/move', 'GET'), 405);
  equal(await ask('/nothing', 'GET'), 404);
  const nothing = (await (await fetch(`${running.url}/nothing`)).json()) as Answer['body'];
  match(nothing.error?.next ?? '', /\w/);
  const metrics = await (await fetch(`${running.url}/metrics`)).text();
  match(metrics, /vipward_vips\{state="pending",filtered="true",ip_family="IPv4"\} 1/);
  match(metrics, /vipward_update_latency_seconds_bucket\{le="0.00005"\} 0/);
  match(metrics, /vipward_pool_addresses\{pool="p",ip_family="IPv4",state="used"\} 1/);
});
