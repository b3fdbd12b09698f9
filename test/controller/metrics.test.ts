// A controller has the metrics of docs/operating.md, each from its first scrape on.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import { LoopLag } from '../../src/controller/loop-lag.ts';
import { scrape as scrapeOf } from '../../src/controller/metrics.ts';
import { startController } from '../../src/controller/run.ts';
import type { NodeStatus } from '../../src/controller/status/status.ts';
import type { Prefix } from '../../src/state/address.ts';
import { checkMetrics, seriesValue } from '../metrics-page.ts';
import { configOf, folder, runningController, service, untilStatus } from './fixture.ts';
import { post } from './post.ts';
import { ruling } from './ruling.ts';
import { kubeconfigOf } from './sources/kubernetes/client-of.ts';
import { agentOf, type TestAgent } from './test-agent.ts';
import { twoNodes } from './two-nodes.ts';

const limit = { timeout: 20_000 };
const scrape = async (url: string) => await (await fetch(`${url}/metrics`)).text();

test('a fresh controller has all metrics of docs/operating.md, with refusals at 0', limit, async (t) => {
  const running = await runningController(t);
  const text = await scrape(running.url);
  checkMetrics(text, 'controller');
  for (const reason of ['PoolExhausted', 'PortTaken', 'KernelRefused', 'AddressConflict'])
    equal(seriesValue(text, `vipward_refusals{reason="${reason}"}`), 0);
  equal(seriesValue(text, 'vipward_vips{state="serving",filtered="false",ip_family="IPv6"}'), 0);
});

test('a controller that does not rule has vipward_ruling 0 and /readyz answers 503', limit, async (t) => {
  const kubeconfig = join(folder(t), 'kubeconfig');
  writeFileSync(kubeconfig, JSON.stringify(kubeconfigOf({ server: 'http://127.0.0.1:1' })));
  const stopping = new AbortController();
  const where = [
    '--kubernetes',
    '--kubeconfig',
    kubeconfig,
    '--listen',
    '127.0.0.1:0',
    '--pool',
    'p=10.0.0.1',
  ];
  const running = await startController(await configOf(where), {
    log: pino({ level: 'silent' }),
    signal: stopping.signal,
    version: '0',
    logDestination: { dropped: 0 },
  });
  t.after(() => {
    stopping.abort();
    return running.done;
  });
  const text = await scrape(running.url);
  checkMetrics(text, 'controller');
  equal(seriesValue(text, 'vipward_ruling'), 0);
  const ready = await fetch(`${running.url}/readyz`);
  const { error } = (await ready.json()) as { error: { code: string } };
  deepEqual([ready.status, error.code], [503, 'NotComplete']);
});

test('a refused VIP, a refused Service, a node and a used address are counted once', limit, async (t) => {
  const far = service('far', { annotations: { 'vipward.io/addresses': '192.0.2.1' } });
  const running = await runningController(t, { files: { 'a.yaml': service('web'), 'b.yaml': far } });
  const agent = agentOf(t, running, 'n1');
  agent.refuses = 'AddressConflict';
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'refused');
  const text = await scrape(running.url);
  deepEqual(
    [
      'vipward_vips{state="refused",filtered="true",ip_family="IPv4"}',
      'vipward_refusals{reason="OutsidePool"}',
      'vipward_refusals{reason="AddressConflict"}',
      'vipward_address_conflicts_total',
      'vipward_nodes{connected="true"}',
      'vipward_pool_addresses{pool="p",ip_family="IPv4",state="used"}',
    ].map((series) => seriesValue(text, series)),
    [1, 1, 1, 1, 1, 1],
  );
});

test('a VIP outside --allow of a node is a refusal unless another node has it', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const forbidden = async () =>
    seriesValue(await scrape(running.url), 'vipward_refusals{reason="Forbidden"}');
  const refuse = async (agent: TestAgent) => {
    const key = running.status().vips[0]?.address;
    agent.send({ type: 'refused', table: 'rules', key, services: [], code: 'Forbidden', reason: 'no' });
    const isRefused = (node: NodeStatus) => node.name === agent.name && node.refusals.length === 1;
    await untilStatus(running, ({ nodes }) => nodes.some(isRefused));
  };
  const far = agentOf(t, running, 'far', { hello: { allow: ['192.0.2.0/24' as Prefix] } });
  await far.synced();
  await refuse(far);
  equal(await forbidden(), 1);
  const near = agentOf(t, running, 'near');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  equal(await forbidden(), 0);
  near.send({ type: 'held', vips: [] });
  await refuse(near);
  equal(await forbidden(), 1);
});

test(
  'vipward_refusals counts the refused Services of the status, even those that cannot be read',
  limit,
  async (t) => {
    const far = service('far', { annotations: { 'vipward.io/addresses': '192.0.2.1' } });
    const files = { 'a.yaml': service('web', { ports: [0] }), 'b.yaml': far };
    const running = await runningController(t, { files });
    const { refused } = running.status();
    deepEqual(
      refused.map(({ key, reason }) => [key, reason]),
      [
        ['demo/far', 'OutsidePool'],
        ['demo/web', 'NotSupported'],
      ],
    );
    const text = await scrape(running.url);
    for (const { reason } of refused) equal(seriesValue(text, `vipward_refusals{reason="${reason}"}`), 1);
  },
);

test(
  'the addresses of a pool are counted by IP family, and a family that it lacks has no series',
  limit,
  async (t) => {
    const argv = ['--pool', 'both=10.77.0.100,fd77::/64', '--pool', 'four=10.77.1.0/28'];
    const running = await runningController(t, { argv, files: { 'a.yaml': service('web') } });
    const text = await scrape(running.url);
    const counted = [...text.matchAll(/^vipward_pool_addresses\{(.*)\} (.+)$/gm)];
    deepEqual(Object.fromEntries(counted.map(([, labels, value]) => [labels, Number(value)])), {
      'pool="both",ip_family="IPv4",state="used"': 1,
      'pool="both",ip_family="IPv4",state="free"': 0,
      'pool="both",ip_family="IPv6",state="used"': 0,
      'pool="both",ip_family="IPv6",state="free"': 2 ** 64,
      'pool="four",ip_family="IPv4",state="used"': 0,
      'pool="four",ip_family="IPv4",state="free"': 16,
    });
  },
);

test('vipward_moves_total counts each completed move under its reason', limit, async (t) => {
  const { running } = await twoNodes(t);
  const vip = '10.77.0.100';
  equal((await post(running.url, 'move', { vip, node: 'n2' })).status, 200);
  equal((await post(running.url, 'drain', { node: 'n2' })).status, 200);
  equal((await post(running.url, 'move', { vip, node: 'n2' })).status, 409);
  const text = await scrape(running.url);
  const counted = [...text.matchAll(/^vipward_moves_total\{reason="(\w+)"\} (\d+)$/gm)];
  deepEqual(Object.fromEntries(counted.map(([, reason, count]) => [reason, Number(count)])), {
    Asked: 1,
    Drained: 1,
    NoEligibleNode: 0,
    NoLocalEndpoints: 0,
  });
});

test('Events that were dropped are counted', limit, async (t) => {
  const { controller } = ruling();
  const loopLag = new LoopLag();
  t.after(() => loopLag[Symbol.dispose]());
  const { text } = await scrapeOf({
    controller,
    loopLag,
    pools: () => [],
    statusInput: () => ({ invalid: new Map() }),
    version: '0',
    logDestination: { dropped: 3 },
    connections: () => 0,
    isRuling: () => true,
    droppedEvents: () => 7,
  });
  deepEqual(
    ['vipward_events_dropped_total', 'vipward_log_lines_dropped_total'].map((name) =>
      seriesValue(text, name),
    ),
    [7, 3],
  );
});

test('/readyz looks up no VIP', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const { allocator } = running.controller;
  const { usersOf } = allocator;
  let looks = 0;
  allocator.usersOf = (address) => {
    looks++;
    return usersOf.call(allocator, address);
  };
  equal((await fetch(`${running.url}/readyz`)).status, 200);
  equal(looks, 0);
  equal((await fetch(`${running.url}/api/v1/status`)).status, 200);
  equal(looks, 1);
});

test('refused upgrades are counted by code, and the status has each node and code once', limit, async (t) => {
  const tokenFile = join(folder(t), 'tokens');
  writeFileSync(tokenFile, 'n1 secret\n');
  const running = await runningController(t, { argv: ['--token-file', tokenFile] });
  for (const token of ['wrong', 'secret', 'wrong']) {
    const headers = { authorization: `Bearer ${token}` };
    const one = new WebSocket(`${running.url.replace('http', 'ws')}/agent`, 'another', { headers });
    await once(one, 'error');
  }
  const { refusedStreams } = running.status();
  deepEqual(
    refusedStreams.map(({ node, code }) => [node, code]),
    [
      ['n1', 400],
      [null, 401],
    ],
  );
  const text = await scrape(running.url);
  equal(seriesValue(text, 'vipward_refused_streams_total{code="401"}'), 2);
  equal(seriesValue(text, 'vipward_refused_streams_total{code="400"}'), 1);
});

test('a busy event loop is counted in vipward_event_loop_lag_seconds', limit, async (t) => {
  const running = await runningController(t);
  const late = async () => {
    const text = await scrape(running.url);
    const [all, within] = ['+Inf', '0.1'].map((most) =>
      seriesValue(text, `vipward_event_loop_lag_seconds_bucket{le="${most}"}`),
    );
    return (all ?? 0) - (within ?? 0);
  };
  const before = await late();
  const endMs = performance.now() + 150;
  while (performance.now() < endMs);
  await setTimeout(40);
  ok((await late()) > before);
});
