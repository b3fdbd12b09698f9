// The log lines that agents and strangers cause: enough to see who connects, and no more.
import { deepEqual, equal } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { NodeStatus } from '../../../src/controller/status/status.ts';
import type { RefusedAgent } from '../../../src/controller/stream/closed-connections.ts';
import { LimitedLog } from '../../../src/controller/stream/limited-log.ts';
import type { Hello } from '../../../src/protocol/messages.ts';
import { logLines } from '../../log-lines.ts';
import { untilTrue } from '../../patience.ts';
import { folder, runningController, service, untilStatus } from '../fixture.ts';
import { agentOf } from '../test-agent.ts';

const limit = { timeout: 60_000 };
const minuteMs = 60_000;
const one: RefusedAgent = { node: null, code: 401, reason: 'no credential', peer: '192.0.2.1' };

function heard(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const said: (RefusedAgent & { readonly count: number })[] = [];
  const log = new LimitedLog<RefusedAgent>({
    say: (refused) => said.push(refused),
    kindOf: ({ code, peer }) => `${code} ${peer}`,
    ofAnyKind: (refused) => ({ ...refused, peer: null }),
    mostKinds: 3,
  });
  return { said, log };
}

test('the first refusal of an address is logged at once, and the number of others a minute later', (t) => {
  const { said, log } = heard(t);
  for (let times = 0; times < 1000; times++) log.add({ ...one, reason: `${times}` });
  log.add({ ...one, peer: '192.0.2.2' });
  deepEqual(said, [
    { ...one, reason: '0', count: 1 },
    { ...one, peer: '192.0.2.2', count: 1 },
  ]);
  t.mock.timers.tick(minuteMs);
  deepEqual(said.slice(2), [{ ...one, reason: '999', count: 999 }]);
  log.add(one);
  equal(said.length, 3);
  t.mock.timers.tick(minuteMs);
  deepEqual(said.slice(3), [{ ...one, count: 1 }]);
  t.mock.timers.tick(minuteMs);
  t.mock.timers.tick(minuteMs);
  equal(said.length, 4);
  log.add(one);
  deepEqual(said.slice(4), [{ ...one, count: 1 }]);
});

test('refusals that never end are logged a minute after the first, not after the last', (t) => {
  const { said, log } = heard(t);
  for (let seconds = 0; seconds < 60; seconds++) {
    log.add({ ...one, reason: `${seconds}` });
    t.mock.timers.tick(1000);
  }
  deepEqual(said, [
    { ...one, reason: '0', count: 1 },
    { ...one, reason: '59', count: 59 },
  ]);
});

test('refusals of many addresses are logged one by one for three, then together', (t) => {
  const { said, log } = heard(t);
  for (let host = 0; host < 1000; host++) log.add({ ...one, peer: `2001:db8::${host.toString(16)}` });
  equal(said.length, 3);
  t.mock.timers.tick(minuteMs);
  deepEqual(said.slice(3), [{ ...one, peer: null, count: 997 }]);
  for (let host = 0; host < 4; host++) log.add({ ...one, peer: `2001:db9::${host}` });
  deepEqual(
    said.slice(4).map(({ peer }) => peer),
    ['2001:db9::0', '2001:db9::1', '2001:db9::2'],
  );
});

test('a wrong token and a hello for another node are logged as agentRefused', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'n1 secret\n');
  const { log, lines } = logLines();
  const running = await runningController(t, { log, argv: ['--token-file', tokens] });
  await agentOf(t, running, 'n1', { token: 'wrong' }).untilClosed();
  await agentOf(t, running, 'n1', { token: 'wrong' }).untilClosed();
  await agentOf(t, running, 'n2', { token: 'secret' }).untilClosed();
  const refused = () => lines.filter(({ event }) => event === 'agentRefused');
  await untilTrue(() => refused().length > 1);
  deepEqual(
    refused().map(({ level, node, code, peer, count }) => [level, node, code, peer, count]),
    [
      [40, null, 401, '127.0.0.1', 1],
      [40, 'n1', 1008, '127.0.0.1', 1],
    ],
  );
});

test('however often a node connects, that is logged once in a minute', limit, async (t) => {
  const { log, lines } = logLines();
  const running = await runningController(t, { log });
  for (const name of ['n1', 'n1', 'n1', 'n1', 'n2']) {
    const agent = agentOf(t, running, name);
    await agent.synced();
    await agent.close();
  }
  const said = () => lines.filter(({ event }) => /^agent(Connected|Closed)$/.test(event));
  await untilTrue(() => said().some(({ event, node }) => event === 'agentClosed' && node === 'n2'));
  deepEqual(
    said().map(({ event, node, count, code }) => [event, node, count, code]),
    [
      ['agentConnected', 'n1', 1, undefined],
      ['agentClosed', 'n1', 1, 1005],
      ['agentConnected', 'n2', 1, undefined],
      ['agentClosed', 'n2', 1, 1005],
    ],
  );
});

test('however often a node refuses a VIP, that is logged once in a minute', limit, async (t) => {
  const { log, lines } = logLines();
  const running = await runningController(t, { log, files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, running, 'n1', { hello: { features: ['held-delta'] } });
  await agent.synced();
  const [key] = agent.rules.keys();
  const refusal = { type: 'refused', table: 'rules', key, services: [], code: 'KernelRefused' };
  for (let times = 0; times < 1000; times++) agent.send({ ...refusal, reason: `${times}` });
  await untilStatus(running, ({ nodes }) => nodes[0]?.refusals[0]?.reason === '999');
  const said = lines.filter(({ event }) => event === 'refused');
  deepEqual(
    said.map(({ node, key: of, code, reason, count }) => [node, of, code, reason, count]),
    [['n1', key, 'KernelRefused', '0', 1]],
  );
});

test('a VIP outside --allow of a node is logged unless another node has it', limit, async (t) => {
  const { log, lines } = logLines();
  const running = await runningController(t, { log, files: { 'a.yaml': service('web') } });
  const [near, far] = [agentOf(t, running, 'near'), agentOf(t, running, 'far')];
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  const [key, node] = [running.status().vips[0]?.address, running.status().vips[0]?.node];
  const [owner, other] = node === 'near' ? [near, far] : [far, near];
  const refusal = { type: 'refused', table: 'rules', key, services: [], code: 'Forbidden', reason: 'no' };
  for (const agent of [other, owner]) {
    agent.send(refusal);
    const isRefused = (one: NodeStatus) => one.name === agent.name && one.refusals.length === 1;
    await untilStatus(running, ({ nodes }) => nodes.some(isRefused));
  }
  deepEqual(
    lines.filter(({ event }) => event === 'refused').map(({ node: by }) => by),
    [owner.name],
  );
});

test('a hello with many impossible terms is logged in a hundred lines', limit, async (t) => {
  const { log, lines } = logLines();
  const running = await runningController(t, { log, files: { 'a.yaml': service('web') } });
  const term = { generation: 5_000_000, n: 1 };
  const held = Array.from({ length: 1000 }, (_, n) => ({ address: `10.77.${n >> 8}.${n & 255}`, term }));
  const agent = agentOf(t, running, 'n1', { hello: { held } as unknown as Partial<Hello> });
  await agent.synced();
  const said = lines.filter(({ event }) => event === 'ImpossibleTerm');
  deepEqual([said.length, said[0]?.['node'], said[0]?.['address']], [100, 'n1', '10.77.0.0']);
});
