// Events about the controller as a whole: each is about its Lease, or about the Node that caused it.
import { deepEqual, equal, match } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { untilTrue } from '../../../patience.ts';
import { serviceObject, untilStatus } from '../../fixture.ts';
import { agentOf } from '../../test-agent.ts';
import { controllerOf, FakeCluster, ownNamespace } from './fake-cluster.ts';

const limit = { timeout: 20_000 };
const lease = { kind: 'Lease', namespace: ownNamespace, name: 'vipward-controller' };

function services(count: number): object[] {
  return Array.from({ length: count }, (_, index) => {
    const object = serviceObject(`s${index}`) as { readonly metadata: object };
    return { ...object, metadata: { ...object.metadata, uid: `${index}`, resourceVersion: '1' } };
  });
}

function node(name: string, labels: object, taints: readonly object[] = []): object {
  return { metadata: { name, labels, resourceVersion: '1' }, spec: { taints } };
}

/** A controller that rules over some Services. */
async function ruling(t: TestContext, nodes: readonly object[] = [], count = 1) {
  const cluster = await new FakeCluster().listen(t);
  cluster.objects.set('/api/v1/services', services(count));
  cluster.objects.set('/api/v1/nodes', nodes);
  const running = await controllerOf(t, cluster, '--leader-elect-retry-period', '100ms');
  await untilStatus(running, ({ vips }) => vips.length === count);
  return { cluster, running };
}

/** The first Event of a reason. */
async function eventOf({ written }: FakeCluster, reason: string) {
  const isIt = ({ path, body }: FakeCluster['written'][number]) =>
    path.endsWith('/events') && body.reason === reason;
  await untilTrue(() => written.some(isIt));
  const { path = '', body } = written.find(isIt) ?? {};
  const { regarding, type, note } = body;
  const { kind, namespace, name } = regarding;
  return { path, about: namespace === undefined ? { kind, name } : { kind, namespace, name }, type, note };
}

test(
  'an Event about the Lease counts the nodes that may have no VIP, with the reason of each',
  limit,
  async (t) => {
    const excluded = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };
    const gone = [{ key: 'node.kubernetes.io/out-of-service' }];
    const { cluster } = await ruling(t, [node('n1', excluded), node('n2', {}, gone), node('n3', {})]);
    const { path, about, type, note } = await eventOf(cluster, 'NoEligibleNode');
    equal(path, `/apis/events.k8s.io/v1/namespaces/${ownNamespace}/events`);
    deepEqual([about, type], [lease, 'Normal']);
    match(note, /^2 nodes may have no VIP: n1: label .* excludes it; .*; n2: taint .*out-of-service$/);
  },
);

test('an Event about the Lease says that most VIPs would go', limit, async (t) => {
  const { cluster, running } = await ruling(t, [], 12);
  cluster.objects.set('/api/v1/services', services(1));
  cluster.listAgain();
  const { about, type, note } = await eventOf(cluster, 'MassRemoval');
  deepEqual([about, type], [lease, 'Warning']);
  match(note, /^11 VIPs would go at once: accepted if a second reading in 30 s agrees$/);
  equal(running.status().vips.length, 12);
});

test(
  'an Event about the Lease says that the generation was raised, and the Lease has it',
  limit,
  async (t) => {
    const { cluster, running } = await ruling(t);
    agentOf(t, running, 'n1', { hello: { generation: 7 } });
    const { about, type, note } = await eventOf(cluster, 'GenerationRaised');
    deepEqual([about, type], [lease, 'Warning']);
    match(note, /^generation raised to 8: n1 has obeyed one that this controller did not issue; /);
    await untilTrue(() => JSON.stringify(cluster.lease).includes('"leaseTransitions":8'));
  },
);

test('an Event about a Node says that it claims a VIP by an impossible term', limit, async (t) => {
  const { cluster, running } = await ruling(t);
  const held = [{ address: '10.77.0.100', term: { generation: 2 ** 52, n: 1 } }] as never;
  agentOf(t, running, 'n1', { hello: { held } });
  const { path, about, type, note } = await eventOf(cluster, 'ImpossibleTerm');
  equal(path, '/apis/events.k8s.io/v1/namespaces/default/events');
  deepEqual([about, type], [{ kind: 'Node', name: 'n1' }, 'Warning']);
  match(note, /^n1 claims 10\.77\.0\.100 by a term that no controller issued: it is refused$/);
});
