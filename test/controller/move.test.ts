// The verbs that change something: the order of a move, who may ask for it, and what is refused.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Address } from '../../src/state/address.ts';
import { folder, runningController, service, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 10_000 };

interface Answer {
  readonly status: number;
  readonly body: {
    readonly error?: { readonly code: string; readonly message: string; readonly next: string };
    readonly moved?: number;
  };
}

async function post(url: string, path: string, body: unknown, token?: string): Promise<Answer> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(`${url}/api/v1/${path}`, { method: 'POST', headers, body: text });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

test('in a move the new owner holds the VIP before the old one is told to let go', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const old = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const next = agentOf(t, running, 'n2');
  await next.synced();
  await untilStatus(running, ({ nodes }) => nodes.every(({ seq }) => seq === 1));
  next.acks = false;
  const asked = post(running.url, 'move', { vip: first, node: 'n2' });
  await next.until(({ placements }) => placements.has(first));
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'moving');
  ok(old.placements.has(first));
  old.acks = false;
  next.acks = true;
  next.commit('placements');
  await old.until(({ placements }) => !placements.has(first));
  equal(running.status().vips[0]?.state, 'moving');
  old.commit('placements');
  equal((await asked).status, 200);
  deepEqual([running.status().vips[0]?.node, running.status().vips[0]?.state], ['n2', 'serving']);
  const terms = [old, next].map((agent) => {
    const delta = agent.heard.find((message) => message.type === 'delta' && message.table === 'placements');
    return delta?.type === 'delta' && delta.table === 'placements' ? delta.set[0]?.term.n : undefined;
  });
  ok((terms[0] ?? 0) < (terms[1] ?? 0), 'the new owner has the higher term');
});

test('a move that the new owner never announces is given up, and the VIP stays', limit, async (t) => {
  const timing = { moveDeadlineMs: 300 };
  const running = await runningController(t, { files: { 'a.yaml': service('web') }, timing });
  const old = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const next = agentOf(t, running, 'n2');
  await next.synced();
  await untilStatus(running, ({ nodes }) => nodes.every(({ seq }) => seq === 1));
  next.acks = false;
  const { status, body } = await post(running.url, 'move', { vip: first, node: 'n2' });
  equal(status, 409);
  match(body.error?.message ?? '', /n2 has not announced it within 0\.3 s, and n1 keeps it/);
  await next.until(({ placements }) => placements.size === 0);
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n1');
  ok(old.placements.has(first));
});

test('a move whose old owner never lets go is answered, and stays where it went', limit, async (t) => {
  const timing = { moveDeadlineMs: 3000 };
  const running = await runningController(t, { files: { 'a.yaml': service('web') }, timing });
  const old = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  await agentOf(t, running, 'n2').synced();
  await untilStatus(running, ({ nodes }) => nodes.every(({ seq }) => seq === 1));
  old.acks = false;
  const { status, body } = await post(running.url, 'move', { vip: first, node: 'n2' });
  equal(status, 409);
  match(body.error?.message ?? '', /n2 has it, but n1 did not say within 3 s that it let go/);
  deepEqual([running.status().vips[0]?.node, running.status().vips[0]?.state], ['n2', 'serving']);
});

test('a move that the new owner refuses leaves the VIP where it was', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const old = agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const next = agentOf(t, running, 'n2');
  await next.synced();
  await untilStatus(running, ({ nodes }) => nodes.every(({ seq }) => seq === 1));
  next.refuses = 'AddressConflict';
  const { status, body } = await post(running.url, 'move', { vip: first, node: 'n2' });
  equal(status, 409);
  match(body.error?.message ?? '', /n2 refused it: AddressConflict: it is the gateway/);
  await next.until(({ placements }) => placements.size === 0);
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].node === 'n1');
  ok(old.placements.has(first));
});

test('a VIP that its node refuses goes to one that has not', limit, async (t) => {
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

test('a move to a node that cannot have the VIP is refused, and says why', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const elsewhere = agentOf(t, running, 'far', { hello: { onLink: [] } });
  await elsewhere.synced();
  const cases = [
    [{ vip: first, node: 'nobody' }, 409, /not connected/],
    [{ vip: first, node: 'far' }, 409, /not on its link/],
    [{ vip: '10.77.0.250', node: 'n1' }, 404, /is no VIP/],
    [{ vip: 'x', node: 'n1' }, 400, /expected an IPv4 or IPv6 address/],
    [{ vip: first }, 400, /node: expected a text/],
    ['{', 400, /not JSON/],
  ] as const;
  for (const [body, status, message] of cases) {
    const answer = await post(running.url, 'move', body);
    equal(answer.status, status);
    match(answer.body.error?.message ?? '', message);
  }
  equal((await post(running.url, 'move', { vip: first, node: 'n1' })).status, 200);
});

test('drain moves every VIP away, undrain moves nothing back', limit, async (t) => {
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

test('drain without another eligible node is refused, and outlives a restart', limit, async (t) => {
  const [services, stateDir] = [folder(t), folder(t)];
  const running = await runningController(t, { services, stateDir, files: { 'a.yaml': service('web') } });
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const { status, body } = await post(running.url, 'drain', { node: 'n1' });
  equal(status, 409);
  const said =
    /^n1 is drained and is given no VIP any more, but 1 of its 1 VIPs stay; 10\.77\.0\.100: no other/;
  match(body.error?.message ?? '', said);
  match(body.error?.next ?? '', /^vipward undrain n1 undoes it/);
  equal(running.status().vips[0]?.node, 'n1');
  await running.stop();
  const again = await runningController(t, { services, stateDir });
  equal(again.status().nodes[0]?.drained, true);
});

test('changing verbs need the operator, never a node', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'n1 secret-1\noperator secret-0\n');
  const argv = ['--token-file', tokens];
  const running = await runningController(t, { files: { 'a.yaml': service('web') }, argv });
  agentOf(t, running, 'n1', { token: 'secret-1' });
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const ask = async (token?: string) => (await post(running.url, 'undrain', { node: 'n1' }, token)).status;
  deepEqual(
    [await ask(), await ask('wrong'), await ask('secret-1'), await ask('secret-0')],
    [401, 401, 403, 200],
  );
});

test('HTTP answers by method and path, and says what to do', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const ask = async (path: string, method: string) =>
    (await fetch(`${running.url}${path}`, { method })).status;
  equal(await ask('/healthz', 'GET'), 200);
  equal(await ask('/healthz', 'HEAD'), 200);
  equal(await ask('/healthz', 'DELETE'), 405);
  equal(await ask('/api/v1/move', 'GET'), 405);
  equal(await ask('/nothing', 'GET'), 404);
  const metrics = await (await fetch(`${running.url}/metrics`)).text();
  match(metrics, /vipward_vips\{state="pending",filtered="true",ip_family="IPv4"\} 1/);
  match(metrics, /vipward_update_latency_seconds_bucket\{le="0.00005"\} 0/);
  match(metrics, /vipward_pool_addresses\{pool="p",state="used"\} 1/);
});
