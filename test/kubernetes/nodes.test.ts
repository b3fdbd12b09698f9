// Where a VIP may be by the nodes and endpoints of the cluster: one node has a real agent, the others have
// test agents.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TestAgent } from '../controller/test-agent.ts';
import { skip as noNode } from '../kernel/node.ts';
import { stay } from '../kernel/traffic.ts';
import { skip as noCluster } from './control-plane.ts';
import { NodeInCluster, systemNamespace } from './node-in-cluster.ts';

const skip = noCluster || noNode;
const nodes = '/api/v1/nodes';
const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';
const mergePatch = { type: 'application/merge-patch+json' };

let all: NodeInCluster;
/** The test agents by node. */
const others = new Map<string, TestAgent>();
before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start();
  for (const name of ['node1', 'node2']) await all.cluster.do('POST', nodes, { metadata: { name } });
});
after(async () => {
  if (skip !== false) return;
  for (const agent of others.values()) agent.socket.terminate();
  await all[Symbol.asyncDispose]();
});

/** Sets a label of a node, or removes it. */
async function label(node: string, name: string, value: string | null): Promise<void> {
  const metadata = { labels: { [name]: value } };
  await all.cluster.do('PATCH', `${nodes}/${node}`, { metadata }, mergePatch);
}

/** The reasons of the Events about an object. */
async function reasons(namespace: string, name: string): Promise<string[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
  const { items } = await all.cluster.do('GET', path);
  return (items as { regarding: { name: string }; reason: string }[])
    .filter(({ regarding }) => regarding.name === name)
    .map(({ reason }) => reason);
}

/** A test agent on a node, with the rules and placements of the one before it. */
async function join(name: string): Promise<void> {
  const before = others.get(name);
  const agent = await stay(all.node.node, async () => {
    const made = new TestAgent('http://127.0.0.1:9470', name);
    for (const [address, vip] of before?.rules ?? []) made.rules.set(address, vip);
    for (const [address, placement] of before?.placements ?? []) made.placements.set(address, placement);
    await turn();
    return made;
  });
  others.set(name, agent);
  await agent.synced();
}

/** Waits until a VIP is on that node, or has that reason not to be on any. */
async function isAt(address: string, wanted: string): Promise<void> {
  await all.until(`${address} at ${wanted}`, async () => {
    // This process may be delayed so long that the controller closes its stream; a real agent reconnects too.
    for (const [name, { closed }] of others) if (closed !== null) await join(name);
    const { vips } = await all.node.controllerStatus();
    const vip = vips.find((one) => one.address === address);
    assert.equal(vip?.state === 'serving' ? vip.node : vip?.reason, wanted);
    return true;
  });
}

async function ingress(name: string): Promise<string[]> {
  const { status } = await all.cluster.do('GET', `/api/v1/namespaces/default/services/${name}`);
  return (status.loadBalancer.ingress ?? []).map(({ ip }: { ip: string }) => ip);
}

interface Endpoint {
  readonly nodeName: string;
  readonly conditions?: object;
}

/** Writes an EndpointSlice of a Service. */
async function slice(name: string, service: string, endpoints: readonly Endpoint[]): Promise<void> {
  const body = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    metadata: { name, labels: { 'kubernetes.io/service-name': service } },
    endpoints: endpoints.map((endpoint, index) => ({ addresses: [`10.244.0.${index + 1}`], ...endpoint })),
    ports: [{ port: 80 }],
  };
  const type = 'application/apply-patch+yaml';
  await all.cluster.do('PATCH', `${slices}/${name}?fieldManager=test&force=true`, body, { type });
}

test('an excluded node is given no VIP, and keeps its own while no other node can take them', {
  skip,
}, async () => {
  await all.apply('web');
  await isAt('10.77.0.100', 'node1');
  await label('node1', excludeLabel, '');
  await all.until('the exclusion has an Event', async () => {
    return (await reasons(systemNamespace, 'vipward-controller')).includes('NoEligibleNode');
  });
  await all.apply('other');
  await isAt('10.77.0.101', 'NoEligibleNode');
  await isAt('10.77.0.100', 'node1');
  const { vips } = await all.node.controllerStatus();
  assert.match(vips[1]?.message ?? '', /node1: label .* excludes it; --ignore-exclude-label lifts that/);
  await label('node1', excludeLabel, null);
  await isAt('10.77.0.101', 'node1');
});

test('another node takes the VIPs of an excluded node, and no VIP moves back by itself', {
  skip,
}, async () => {
  await join('node2');
  // A VIP that has no record yet gets no Event Moved.
  await all.until('its record says where it is', async () => {
    const { status } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips/10.77.0.100');
    return status?.node === 'node1' && status.state === 'serving';
  });
  await label('node1', excludeLabel, '');
  await isAt('10.77.0.100', 'node2');
  await isAt('10.77.0.101', 'node2');
  await all.until('the move has an Event', async () => (await reasons('default', 'web')).includes('Moved'));
  await all.until(
    'node1 has released both',
    async () => !all.node.run('ip address show').includes('10.77.0.10'),
  );
  // Nodes and Services have separate watches: a VIP that only node1 can serve shows that node1 is known
  // again.
  const annotations = { 'vipward.io/addresses': '10.77.0.190' };
  await all.apply('sign', { annotations, spec: { externalTrafficPolicy: 'Local' } });
  await slice('sign', 'sign', [{ nodeName: 'node1' }]);
  await label('node1', excludeLabel, null);
  await isAt('10.77.0.190', 'node1');
  await all.remove('sign');
  await all.until('the sign is gone', async () => (await all.node.controllerStatus()).vips.length === 2);
  await all.apply('third');
  await isAt('10.77.0.102', 'node1');
  await isAt('10.77.0.100', 'node2');
});

test('the drain label moves the VIPs of a node, a cordon does not', { skip }, async () => {
  await all.cluster.do('PATCH', `${nodes}/node2`, { spec: { unschedulable: true } }, mergePatch);
  await all.apply('fourth');
  await isAt('10.77.0.103', 'node1');
  await isAt('10.77.0.100', 'node2');
  await label('node2', 'vipward.io/drain', '');
  await isAt('10.77.0.100', 'node1');
  await isAt('10.77.0.101', 'node1');
  await label('node2', 'vipward.io/drain', null);
});

test('a Local Service is on a node with a ready endpoint, else with one that still serves, else on none', {
  skip,
}, async () => {
  await all.apply('local', { spec: { externalTrafficPolicy: 'Local' } });
  await isAt('10.77.0.104', 'NoLocalEndpoints');
  await slice('local-a', 'local', [{ nodeName: 'node1' }]);
  await isAt('10.77.0.104', 'node1');
  await slice('local-a', 'local', [{ nodeName: 'node2' }]);
  await isAt('10.77.0.104', 'node2');
  await slice('local-b', 'local', [{ nodeName: 'node1' }]);
  await isAt('10.77.0.104', 'node2');
  const ending = { ready: false, serving: true, terminating: true };
  await slice('local-a', 'local', [{ nodeName: 'node2', conditions: ending }]);
  await isAt('10.77.0.104', 'node1');
  await slice('local-b', 'local', [{ nodeName: 'node1', conditions: ending }]);
  await slice('local-a', 'local', []);
  await isAt('10.77.0.104', 'node1');
  await slice('local-b', 'local', [{ nodeName: 'node1', conditions: { ready: false } }]);
  await isAt('10.77.0.104', 'NoLocalEndpoints');
  await all.until('withdrawn', async () => !all.node.run('ip address show').includes('10.77.0.104'));
  assert.deepEqual(await ingress('local'), ['10.77.0.104']);
  await all.until('NoLocalEndpoints has an Event', async () =>
    (await reasons('default', 'local')).includes('NoLocalEndpoints'),
  );
});

test('the VIPs of a node with the out-of-service taint move to another node', { skip }, async () => {
  await label('node1', excludeLabel, '');
  await isAt('10.77.0.103', 'node2');
  await label('node1', excludeLabel, null);
  const second = others.get('node2');
  others.delete('node2');
  await second?.close();
  const taints = [{ key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' }];
  await all.cluster.do('PATCH', `${nodes}/node2`, { spec: { taints } }, mergePatch);
  for (const last of [100, 101, 102, 103]) await isAt(`10.77.0.${last}`, 'node1');
});

test('a Node that was deleted while no controller ran loses its VIPs once the controller lists Nodes', {
  skip,
}, async () => {
  await all.cluster.do('PATCH', `${nodes}/node2`, { spec: { taints: null } }, mergePatch);
  await all.cluster.do('POST', nodes, { metadata: { name: 'node3' } });
  await join('node3');
  await label('node1', excludeLabel, '');
  for (const last of [100, 101, 102, 103]) await isAt(`10.77.0.${last}`, 'node3');
  await label('node1', excludeLabel, null);
  await all.until('its records say where they are', async () => {
    const { items } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips');
    return items.filter(({ status }: { status: { node: string } }) => status.node === 'node3').length === 4;
  });
  await all.node.killController('SIGKILL');
  await others.get('node3')?.untilClosed();
  others.delete('node3');
  await all.cluster.do('DELETE', `${nodes}/node3`);
  all.node.startController();
  await isAt('10.77.0.100', 'node1');
});
