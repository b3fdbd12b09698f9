// The tables of `status` if something is not filtered.
import { doesNotMatch, match } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, startStub } from './stub.ts';

const vip = {
  address: '10.0.0.10',
  held: true,
  term: { generation: 1, n: 1 },
  state: 'serving',
  reason: '',
  ports: [{ protocol: 'TCP', port: 80, packets: null }],
  dropped: 5,
};
const open = { ...vip, address: '10.0.0.11', filtered: false, dropped: null };
const agentStatus = { node: 'n1', firewall: 'nftables', inSync: true, vips: [vip, open] };
const services = [{ key: 'demo/web', ports: [{ protocol: 'TCP', port: 80 }], state: 'serving', reason: '' }];
const controllerStatus = { vips: [vip, open].map((one) => ({ ...one, node: 'n1', services })), nodes: [] };

test('status of an observing agent says that nothing is dropped, and counts under WOULD DROP', async () => {
  await using agent = await startStub({ 'GET /status': [200, { ...agentStatus, filter: 'observe' }] });
  const { out } = await run(['status', '--agent', agent.url]);
  match(out, /^node n1, firewall nftables, in sync, observing: nothing is dropped$/m);
  match(out, /^VIP +HELD +STATE +REASON +PORTS +WOULD DROP$/m);
  match(out, /^10\.0\.0\.10 .* 80\/tcp +5$/m);
  await using enforcing = await startStub({ 'GET /status': [200, { ...agentStatus, filter: 'enforce' }] });
  const other = await run(['status', '--agent', enforcing.url]);
  match(other.out, /^node n1, firewall nftables, in sync$/m);
  match(other.out, / DROPPED$/m);
});

test('a VIP that is not filtered is marked as unfiltered in every table', async () => {
  await using agent = await startStub({ 'GET /status': [200, agentStatus] });
  await using controller = await startStub({ 'GET /api/v1/status': [200, controllerStatus] });
  const where = ['--controller', controller.url];
  for (const argv of [['--agent', agent.url], where, [...where, '-o', 'wide']]) {
    const { out } = await run(['status', ...argv], { VIPWARD_AGENT: agent.url });
    match(out, /^10\.0\.0\.11 .* unfiltered\b/m);
    doesNotMatch(out, /^10\.0\.0\.10 .* unfiltered\b/m);
  }
});

test('the table of a controller has counts of an observing agent under WOULD DROP too', async () => {
  await using agent = await startStub({ 'GET /status': [200, { ...agentStatus, filter: 'observe' }] });
  await using controller = await startStub({ 'GET /api/v1/status': [200, controllerStatus] });
  const { out } = await run(['status', '--controller', controller.url], { VIPWARD_AGENT: agent.url });
  match(out, /^VIP +NODE +STATE +REASON +PORTS +WOULD DROP +SERVICES$/m);
});

test('the table of a controller has counts of the local agent only for VIPs of its node', async () => {
  const ports = [{ protocol: 'TCP', port: 80, packets: 12 }];
  const vips = ['10.0.0.10', '10.0.0.12', '10.0.0.13'].map((address) => ({ ...vip, address, ports }));
  await using agent = await startStub({ 'GET /status': [200, { ...agentStatus, vips }] });
  const said = vips.map((one, index) => ({ ...one, node: ['n1', 'n2', null][index], services }));
  await using controller = await startStub({ 'GET /api/v1/status': [200, { vips: said, nodes: [] }] });
  const { out } = await run(['status', '--controller', controller.url], { VIPWARD_AGENT: agent.url });
  match(out, /^10\.0\.0\.10 +n1 +serving +- +80\/tcp=12 +5 +demo\/web$/m);
  match(out, /^10\.0\.0\.12 +n2 +serving +- +80\/tcp +- +demo\/web$/m);
  match(out, /^10\.0\.0\.13 +- +serving +- +80\/tcp +- +demo\/web$/m);
});

test('the counts of an agent that answers after a second are shown', async () => {
  await using agent = createServer(async (_request, response) => {
    await sleep(1000);
    response.end(JSON.stringify(agentStatus));
  }).listen(0, '127.0.0.1');
  await once(agent, 'listening');
  const { port } = agent.address() as AddressInfo;
  await using controller = await startStub({ 'GET /api/v1/status': [200, controllerStatus] });
  const env = { VIPWARD_AGENT: `http://127.0.0.1:${port}` };
  const { out } = await run(['status', '--controller', controller.url], env);
  match(out, /^10\.0\.0\.10 .* 80\/tcp +5 +demo\/web$/m);
});
