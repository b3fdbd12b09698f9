// The metrics of a real agent: those that docs/operating.md lists, and a counter that never falls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkMetrics, seriesValue } from '../metrics-page.ts';
import { Node, type Service, skip } from './node.ts';
import { getText } from './traffic.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100'], ports: ['TCP 80'] };
const dropped = 'vipward_dropped_packets_total';

test('the agent serves the documented metrics, and its drop counter outlives a VIP', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  const scrape = () => getText(node.node, 'http://127.0.0.1:9471/metrics');
  const text = await scrape();
  checkMetrics(text, 'agent');
  assert.equal(seriesValue(text, 'vipward_drift_repairs_total{kind="rules"}'), 0);
  assert.equal(seriesValue(text, 'vipward_refusals{reason="KernelRefused"}'), 0);
  assert.equal(seriesValue(text, dropped), 0);
  assert.equal(await node.probe('tcp', '10.77.0.100', 22), 'closed');
  const count = async (): Promise<number> => seriesValue(await scrape(), dropped);
  // A count that a busy kernel does not deliver soon comes with a later scrape.
  await node.until('a count', async () => (await count()) > 0);
  const before = await count();
  await node.setServices([{ ...web, name: 'other', addresses: ['10.77.0.101'] }]);
  assert.equal(await count(), before);
  await node.setServices([web]);
  assert.equal(await node.probe('tcp', '10.77.0.100', 22), 'closed');
  await node.until('more of them', async () => (await count()) > before);
});

test('metrics count VIPs by state and family, and a VIP that is an address of the node as a conflict', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web], controllerArgs: ['--pool', 'far=10.99.0.0/24'] });
  node.run('ip address add 10.77.0.120/24 dev lan');
  const six = { ...web, name: 'six', addresses: ['fd77::100'] };
  const far = { ...web, name: 'far', addresses: ['10.99.0.150'] };
  await node.setServices([web, six, far, { ...web, name: 'own', addresses: ['10.77.0.120'] }]);
  const text = await getText(node.node, 'http://127.0.0.1:9471/metrics');
  assert.equal(seriesValue(text, 'vipward_address_conflicts_total'), 1);
  assert.equal(seriesValue(text, 'vipward_refusals{reason="AddressConflict"}'), 1);
  // A VIP outside --allow is for other nodes.
  assert.equal(seriesValue(text, 'vipward_refusals{reason="Forbidden"}'), 0);
  const vips = (state: string, family: string): number =>
    seriesValue(text, `vipward_vips{state="${state}",filtered="true",ip_family="${family}"}`);
  assert.deepEqual([vips('serving', 'IPv4'), vips('refused', 'IPv4')], [1, 2]);
  assert.deepEqual([vips('serving', 'IPv6'), vips('refused', 'IPv6')], [1, 0]);
  assert.deepEqual([vips('pending', 'IPv4'), vips('released', 'IPv4')], [0, 0]);
});
