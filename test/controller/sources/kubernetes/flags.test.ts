// What the flags of `--kubernetes` change at the API server, and what a controller says that cannot read all.
import { deepEqual, equal, match } from 'node:assert/strict';
import { hostname } from 'node:os';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { logLines } from '../../../log-lines.ts';
import { untilTrue } from '../../../patience.ts';
import { configOf, serviceObject, untilStatus } from '../../fixture.ts';
import { agentOf } from '../../test-agent.ts';
import { controllerOf, FakeCluster, ownNamespace } from './fake-cluster.ts';

const limit = { timeout: 20_000 };
const virtualIps = '/apis/vipward.io/v1alpha1/virtualips';

function service(name: string, spec: object = {}, namespace = 'demo'): object {
  const object = serviceObject(name, { namespace, spec }) as { readonly metadata: object };
  return { ...object, metadata: { ...object.metadata, uid: name, resourceVersion: '1' } };
}

async function clusterOf(t: TestContext, ...services: readonly object[]): Promise<FakeCluster> {
  const cluster = await new FakeCluster().listen(t);
  cluster.objects.set('/api/v1/services', services);
  return cluster;
}

test(
  'a controller serves the classes that it is given, and Services without one unless told not to',
  limit,
  async (t) => {
    const classed = (name: string) => service(name, { loadBalancerClass: `example.com/${name}` });
    const cluster = await clusterOf(t, service('plain'), ...['a', 'b', 'c'].map(classed));
    const served = async (...flags: readonly string[]) => {
      const running = await controllerOf(t, cluster, '--leader-elect', 'false', ...flags);
      await untilStatus(running, ({ reason }) => reason === null);
      const { vips, ignored } = running.status();
      return [vips.flatMap(({ services }) => services.map(({ key }) => key)).toSorted(), ignored];
    };
    const others = (...names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [`Service of class example.com/${name}`, 1]));
    deepEqual(await served(), [['demo/plain'], others('a', 'b', 'c')]);
    const flags = ['--load-balancer-class', 'example.com/a,example.com/b', '--default-class', 'false'];
    deepEqual(await served(...flags), [
      ['demo/a', 'demo/b'],
      { ...others('c'), 'Service without a class': 1 },
    ]);
    const told = () =>
      new Set(
        cluster.written.flatMap(({ path, body }) => (path.endsWith('/events') ? [body.regarding.name] : [])),
      );
    await untilTrue(() => told().has('b'));
    equal(told().has('c'), false, 'a Service of another class gets no Event');
  },
);

test('--watch-namespaces lists Services of these namespaces and of no other', limit, async (t) => {
  const cluster = await clusterOf(t, service('plain'));
  for (const name of ['x', 'y'])
    cluster.objects.set(`/api/v1/namespaces/${name}/services`, [service('web', {}, name)]);
  const running = await controllerOf(t, cluster, '--watch-namespaces', 'x,y');
  await untilStatus(running, ({ vips }) => vips.length === 2);
  deepEqual(
    running
      .status()
      .vips.flatMap(({ services }) => services.map(({ key }) => key))
      .toSorted(),
    ['x/web', 'y/web'],
  );
  equal(cluster.read.includes('/api/v1/services'), false);
});

/** The Lease that a controller with these flags writes first, and its path. */
async function leaseOf(t: TestContext, ...flags: readonly string[]) {
  const cluster = await clusterOf(t);
  const running = await controllerOf(t, cluster, ...flags);
  await untilTrue(() => cluster.written.length > 0);
  const [{ path, body } = { path: '', body: {} }] = cluster.written;
  const { metadata, spec } = body;
  return { path, running, name: metadata.name, annotations: metadata.annotations, ...spec };
}

test(
  'the Lease is in the namespace and under the name of the flags, and names its holder',
  limit,
  async (t) => {
    const usual = await leaseOf(t);
    equal(usual.path, `/apis/coordination.k8s.io/v1/namespaces/${ownNamespace}/leases`);
    deepEqual([usual.name, usual.leaseDurationSeconds, usual.annotations], ['vipward-controller', 15, {}]);
    match(usual.holderIdentity, new RegExp(`^${RegExp.escape(hostname())}_[0-9a-f]{8}$`));
    const names = ['--namespace', 'ns', '--leader-elect-resource-name', 'other', '--identity', 'me'];
    const more = ['--advertise', 'c1.example:9443', '--leader-elect-lease-duration', '30s'];
    const named = await leaseOf(t, ...names, ...more);
    equal(named.path, '/apis/coordination.k8s.io/v1/namespaces/ns/leases');
    deepEqual([named.name, named.holderIdentity, named.leaseDurationSeconds], ['other', 'me', 30]);
    deepEqual(named.annotations, { 'vipward.io/address': 'c1.example:9443' });
    await untilStatus(named.running, ({ role, reason }) => role === 'active' && reason === null);
    const { identity, leader, generation } = named.running.status();
    deepEqual([identity, generation], ['me', 1]);
    deepEqual(leader, { identity: 'me', address: 'c1.example:9443' });
  },
);

test(
  '--leader-elect false takes the Lease of another controller, a standby waits and names it',
  limit,
  async (t) => {
    const cluster = await clusterOf(t, service('web'));
    const spec = { holderIdentity: 'other', leaseDurationSeconds: 3600, leaseTransitions: 6 };
    const metadata = { annotations: { 'vipward.io/address': 'c2:9470' }, uid: 'l', resourceVersion: '0' };
    cluster.lease = { metadata, spec: { ...spec, renewTime: new Date().toISOString() } };
    const { log, lines } = logLines();
    const standby = await controllerOf(t, { url: cluster.url, log });
    await untilStatus(standby, ({ reason }) => reason === 'Standby');
    const agent = agentOf(t, standby, 'n1');
    await agent.until(({ heard }) => heard.length > 0);
    deepEqual(
      lines.flatMap(({ event, node }) => (event.startsWith('agent') ? [[event, node]] : [])),
      [['agentHeard', 'n1']],
    );
    await agent.close();
    const { role, leader, vips } = standby.status();
    deepEqual([role, leader, vips], ['standby', { identity: 'other', address: 'c2:9470' }, []]);
    equal((await fetch(`${standby.url}/readyz`)).status, 200);
    const body = JSON.stringify({ vip: '10.77.0.100', node: 'n1' });
    const moved = await fetch(`${standby.url}/api/v1/move`, { method: 'POST', body });
    deepEqual([moved.status, ((await moved.json()) as { leader: unknown }).leader], [421, leader]);
    deepEqual(cluster.written, []);
    const running = await controllerOf(t, cluster, '--leader-elect', 'false');
    await untilStatus(running, ({ vips: given }) => given.length === 1);
    equal(running.status().generation, 7);
  },
);

test(
  'without the definition of VirtualIPs a controller is not ready, and says which command applies it',
  limit,
  async (t) => {
    const cluster = await clusterOf(t, service('web'));
    cluster.refused.set(virtualIps, 404);
    const running = await controllerOf(t, cluster);
    const readyz = async () => {
      const answer = await fetch(`${running.url}/readyz`);
      return [answer.status, await answer.text()] as const;
    };
    const synced = { services: true, nodes: true, endpointSlices: true, virtualIPs: false };
    await untilStatus(running, (status) => JSON.stringify(status.synced) === JSON.stringify(synced));
    const [status, text] = await readyz();
    equal(status, 503);
    match(text, /virtualips: .*404.*: apply the CRDs by `vipward manifests crds \| kubectl apply -f -`/);
    deepEqual(running.status().vips, []);
    cluster.refused.delete(virtualIps);
    await untilStatus(running, ({ vips }) => vips.length === 1);
    deepEqual(await readyz(), [200, 'ok\n']);
  },
);

test(
  'a controller that cannot read EndpointSlices is not ready, and serves all but Local Services',
  limit,
  async (t) => {
    const cluster = await clusterOf(t, service('web'), service('local', { externalTrafficPolicy: 'Local' }));
    cluster.refused.set('/apis/discovery.k8s.io/v1/endpointslices', 403);
    const running = await controllerOf(t, cluster);
    await untilStatus(running, ({ vips, reason }) => reason === null && vips.length === 2);
    const answer = await fetch(`${running.url}/readyz`);
    equal(answer.status, 503);
    match(await answer.text(), /endpointslices: .*403/);
  },
);

test('without one of its lists a controller that leads gives no VIP, and says so', limit, async (t) => {
  for (const path of ['/api/v1/services', '/api/v1/nodes', virtualIps]) {
    const cluster = await clusterOf(t, service('web'));
    cluster.refused.set(path, 403);
    const running = await controllerOf(t, cluster);
    await untilStatus(running, ({ role, synced, problems }) => {
      const unread = Object.values(synced as object).filter((isRead) => !isRead);
      return role === 'active' && unread.length === 1 && problems.some(({ file }) => file === path);
    });
    await sleep(100);
    const { reason, vips } = running.status();
    deepEqual([reason, vips], ['NotComplete', []], path);
    equal((await fetch(`${running.url}/readyz`)).status, 503, path);
    cluster.refused.clear();
    await untilStatus(running, ({ vips }) => vips.length === 1);
  }
});

test('--ignore-exclude-label gives VIPs to excluded nodes', limit, async (t) => {
  const cluster = await clusterOf(t, service('web'));
  const labels = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };
  cluster.objects.set('/api/v1/nodes', [{ metadata: { name: 'n1', labels, resourceVersion: '1' } }]);
  const running = await controllerOf(t, cluster);
  await untilStatus(running, ({ reason }) => reason === null);
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.message.includes('--ignore-exclude-label lifts that'));
  const ignoring = await controllerOf(t, cluster, '--leader-elect', 'false', '--ignore-exclude-label');
  await untilStatus(ignoring, ({ reason }) => reason === null);
  agentOf(t, ignoring, 'n1');
  await untilStatus(ignoring, ({ vips }) => vips[0]?.state === 'serving');
});

for (const [minor, entry] of [
  ['29', { ip: '10.77.0.100' }],
  ['30+', { ip: '10.77.0.100', ipMode: 'VIP' }],
] as const)
  test(`the status at version 1.${minor} has ${Object.keys(entry).join(' and ')}`, limit, async (t) => {
    const cluster = await clusterOf(t, service('web'));
    cluster.minor = minor;
    const running = await controllerOf(t, cluster);
    await untilStatus(running, ({ reason }) => reason === null);
    const agent = agentOf(t, running, 'n1');
    const statuses = () => cluster.written.filter(({ path }) => path.endsWith('/services/web/status'));
    await untilTrue(() => statuses().length > 0);
    deepEqual(statuses()[0]?.body.status, { loadBalancer: { ingress: [entry] } });
    deepEqual(
      [...agent.rules.values()].flatMap(({ ports }) => ports.map(({ delivery }) => delivery)),
      ['forward'],
    );
  });

test('the Lease has a connection of its own, and so have reads and writes', limit, async (t) => {
  const cluster = await clusterOf(t, service('web'));
  const running = await controllerOf(t, cluster, '--leader-elect-retry-period', '100ms');
  await untilStatus(running, ({ reason }) => reason === null);
  agentOf(t, running, 'n1');
  const renewals = () => cluster.written.filter(({ path }) => path.includes('/leases/')).length;
  await untilTrue(() => cluster.written.some(({ path }) => path.endsWith('/web/status')) && renewals() > 3);
  const portsOf = (isIt: (path: string) => boolean) =>
    new Set([...cluster.connections].flatMap(([path, ports]) => (isIt(path) ? [...ports] : [])));
  const lease = portsOf((path) => path.includes('/leases'));
  const writes = portsOf((path) => /events$|virtualips$|\/status$/.test(path) && path !== virtualIps);
  const reads = portsOf((path) => ['/api/v1/services', '/api/v1/nodes', '/version'].includes(path));
  deepEqual(
    [lease.intersection(writes), lease.intersection(reads), writes.intersection(reads)],
    [new Set(), new Set(), new Set()],
  );
  deepEqual([lease.size > 0, writes.size > 0, reads.size > 0], [true, true, true]);
});

test('the audience and the account of the agents are those of the flags', async () => {
  const flags = ['--agent-service-account', 'ns/agents', '--agent-audience', 'ours'];
  const { source } = await configOf(['--kubernetes', ...flags]);
  const { agentAccount, agentAudience } = source.kind === 'kubernetes' ? source : {};
  deepEqual([agentAccount, agentAudience], ['ns/agents', 'ours']);
});
