// The metrics of a controller: those that docs/operating.md promises, and each from its first scrape on.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { checkMetrics, seriesValue } from '../metrics-page.ts';
import { runningController, service, untilStatus } from './fixture.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 20_000 };
const scrape = async (url: string) => await (await fetch(`${url}/metrics`)).text();

test('a controller has the metrics of the page, before anything has happened', limit, async (t) => {
  const running = await runningController(t);
  const text = await scrape(running.url);
  checkMetrics(text, 'controller');
  for (const reason of ['PoolExhausted', 'PortTaken', 'KernelRefused', 'AddressConflict'])
    equal(seriesValue(text, `vipward_refusals{reason="${reason}"}`), 0);
  equal(seriesValue(text, 'vipward_vips{state="serving",filtered="false",ip_family="IPv6"}'), 0);
});

test('what happens is counted where it belongs', limit, async (t) => {
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
      'vipward_pool_addresses{pool="p",state="used"}',
    ].map((series) => seriesValue(text, series)),
    [1, 1, 1, 1, 1, 1],
  );
});
