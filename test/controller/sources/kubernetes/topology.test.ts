// What the topology knows and reports of nodes and endpoints, with a fake API server.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mostDeleted, Topology } from '../../../../src/controller/sources/kubernetes/topology.ts';
import type { ServiceKey } from '../../../../src/state/service.ts';
import { untilTrue } from '../../../patience.ts';
import { clientOf } from './client-of.ts';
import { FakeApi } from './fake-api.ts';

const limit = { timeout: 20_000 };

/** The topology of a cluster with its callbacks, until the end of the test. */
async function rig(): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const api = stack.use(await new FakeApi().listen());
  const client = stack.use(clientOf({ server: api.url }));
  const stopping = new AbortController();
  const [deleted, returned]: [string[], string[]] = [[], []];
  const nodes: ReadonlyMap<string, string>[] = [];
  const endpoints: (readonly string[] | null)[] = [];
  const topology = new Topology({
    client,
    ignoresExclude: false,
    signal: stopping.signal,
    random: Math.random,
    onNodes: (barred) => nodes.push(new Map(barred)),
    onState: () => undefined,
    onDeleted: (name) => deleted.push(name),
    onReturned: (name) => returned.push(name),
    onEndpoints: (services) => endpoints.push(services === null ? null : [...services]),
  });
  stack.defer(() => topology.ended());
  stack.defer(() => stopping.abort());
  const [end, told] = [stack.move(), { deleted, returned, nodes, endpoints }];
  return { api, topology, told, [Symbol.asyncDispose]: () => end.disposeAsync() };
}

function namesOf(nodes: readonly ReadonlyMap<string, string>[]): string[][] {
  return nodes.map((barred) => [...barred.keys()]);
}

interface Rig extends AsyncDisposable {
  readonly api: FakeApi;
  readonly topology: Topology;
  readonly told: {
    readonly deleted: readonly string[];
    readonly returned: readonly string[];
    /** The barred nodes at each change. */
    readonly nodes: readonly ReadonlyMap<string, string>[];
    readonly endpoints: readonly (readonly string[] | null)[];
  };
}

test('the latest deleted Nodes are remembered until they return', limit, async () => {
  await using all = await rig();
  const { api, topology, told } = all;
  const names = Array.from({ length: mostDeleted + 2 }, (_, index) => `node-${index}`);
  const [oldest = '', next = '', third = ''] = names.map((name) => `demo/${name}`);
  for (const name of names) api.set(name);
  topology.start();
  await untilTrue(() => topology.synced.nodes && api.watches > 0);
  for (const name of names) api.remove(name);
  await untilTrue(() => told.deleted.length >= names.length);
  const barred = () => told.nodes.at(-1);
  await untilTrue(() => barred()?.size === mostDeleted);
  deepEqual(
    [oldest, next, third].map((name) => barred()?.get(name)),
    [undefined, undefined, 'its Node was deleted'],
  );
  api.set('node-2');
  await untilTrue(() => barred()?.has(third) === false);
  equal(barred()?.size, mostDeleted - 1);
  deepEqual(told.returned, [third]);
});

test('a heartbeat of a Node is not reported, and a change of its bar is', limit, async () => {
  await using all = await rig();
  const { api, topology, told } = all;
  const drained = { labels: { 'vipward.io/drain': '' } };
  api.set('n1');
  topology.start();
  await untilTrue(() => api.watches > 0);
  const steps = [{}, drained, drained, {}, {}, drained];
  for (const [step, more] of steps.entries()) {
    api.set('n1', '', more);
    api.set(`after-${step}`);
    await untilTrue(() => topology.nodes.has(`demo/after-${step}`));
  }
  deepEqual(namesOf(told.nodes), [['demo/n1'], [], ['demo/n1']]);
});

test('an invalid Node is not barred, and other Nodes are followed', limit, async () => {
  await using all = await rig();
  const { api, topology, told } = all;
  topology.start();
  await untilTrue(() => api.watches > 0);
  api.set('odd', '', { spec: { taints: 'none' } });
  api.set('n1', '', { labels: { 'vipward.io/drain': '' } });
  await untilTrue(() => told.nodes.length > 0);
  deepEqual([namesOf(told.nodes), topology.nodes.has('demo/odd')], [[['demo/n1']], true]);
  equal(api.count('nodes?watch'), 1);
});

function setSlice(api: FakeApi, name: string, service: string): void {
  const endpoints = [{ nodeName: 'node1', conditions: { ready: true } }];
  const labels = { 'kubernetes.io/service-name': service };
  api.set(name, '', { labels, addressType: 'IPv4', endpoints });
}

test('the first list of slices is reported for all Services, and a change for its own', limit, async () => {
  await using all = await rig();
  const { api, topology, told } = all;
  setSlice(api, 'web-1', 'web');
  topology.start();
  topology.needSlices(true);
  await untilTrue(() => topology.synced.endpointSlices && api.watches >= 2);
  deepEqual(told.endpoints, [null]);
  setSlice(api, 'web-2', 'web');
  await untilTrue(() => told.endpoints.length >= 2);
  deepEqual(told.endpoints, [null, ['demo/web']]);
  for (const [index, slice] of ['web-1', 'web-2'].entries()) {
    equal(topology.nodesOf('demo/web' as ServiceKey, 4)?.has('node1'), true);
    api.remove(slice);
    await untilTrue(() => told.endpoints.length === 3 + index);
  }
  equal(topology.nodesOf('demo/web' as ServiceKey, 4)?.size, 0);
});

test('the nodes of endpoints are unknown until slices are listed again', limit, async () => {
  await using all = await rig();
  const { api, topology, told } = all;
  const web = 'demo/web' as ServiceKey;
  setSlice(api, 'web-1', 'web');
  topology.start();
  topology.needSlices(true);
  await untilTrue(() => topology.nodesOf(web, 4)?.has('node1') === true);
  await untilTrue(() => api.watches >= 2);
  const listed = topology.listAgain();
  equal(topology.nodesOf(web, 4), null);
  await listed;
  await untilTrue(() => topology.nodesOf(web, 4)?.has('node1') === true);
  deepEqual(told.endpoints, [null, null]);
});

test('slices are watched while a Service is Local, and for a minute after that', limit, async (t) => {
  const real = globalThis.setTimeout;
  t.mock.method(globalThis, 'setTimeout', (then: () => void, ms: number) => {
    return real(then, ms === 60_000 ? 300 : ms);
  });
  await using all = await rig();
  const { api, topology, told } = all;
  const web = 'demo/web' as ServiceKey;
  setSlice(api, 'web-1', 'web');
  topology.start();
  topology.needSlices(false);
  await untilTrue(() => topology.synced.nodes && api.watches > 0);
  deepEqual([api.count('endpointslices'), topology.synced.endpointSlices], [0, true]);
  topology.needSlices(true);
  await untilTrue(() => api.watches === 2);
  topology.needSlices(false);
  topology.needSlices(true);
  await sleep(400);
  deepEqual([api.watches, api.count('endpointslices?watch')], [2, 1]);
  equal(topology.nodesOf(web, 4)?.has('node1'), true);
  topology.needSlices(false);
  topology.needSlices(false);
  await untilTrue(() => api.watches === 1);
  equal(topology.nodesOf(web, 4), null);
  api.remove('web-1');
  topology.needSlices(true);
  await untilTrue(() => topology.nodesOf(web, 4) !== null);
  deepEqual([topology.nodesOf(web, 4)?.size, told.endpoints], [0, [null, null]]);
});

test('a slice with an invalid Service name is ignored, and other slices are followed', limit, async () => {
  await using all = await rig();
  const { api, topology, told } = all;
  topology.start();
  topology.needSlices(true);
  await untilTrue(() => topology.synced.endpointSlices && api.watches >= 2);
  setSlice(api, 'odd-1', 'Foo_1');
  setSlice(api, 'web-1', 'web');
  const heard = () => told.endpoints.flatMap((services) => services ?? []);
  await untilTrue(() => heard().length > 0);
  deepEqual(heard(), ['demo/web']);
  equal(api.count('endpointslices?watch'), 1);
});
