// What is written to the API server when nothing changed but ports or labels, when a node has gone, and after
// a restore of etcd.
import { deepEqual, equal, match } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Address } from '../../../../src/state/address.ts';
import { untilTrue } from '../../../patience.ts';
import { serviceObject, untilStatus } from '../../fixture.ts';
import { agentOf } from '../../test-agent.ts';
import { controllerOf, FakeCluster } from './fake-cluster.ts';

const limit = { timeout: 20_000 };
const address = '10.77.0.100' as Address;
const term = { generation: 6, n: 3 };
/** Longer than changes of records are gathered. */
const gatheredMs = 600;

/** A Service whose status names the address. */
function service(resourceVersion: number, port: number, labels: object = {}): object {
  const object = serviceObject('web', { ports: [port] }) as { readonly metadata: object };
  const metadata = { ...object.metadata, labels, uid: 'u', resourceVersion: `${resourceVersion}` };
  return { ...object, metadata, status: { loadBalancer: { ingress: [{ ip: address, ipMode: 'VIP' }] } } };
}

/** The record of the address on n1, as the last controller has written it. */
function record(): object {
  const condition = (type: string, status: string) => {
    const rest = { observedGeneration: 1, lastTransitionTime: '2026-11-30T00:00:00Z', message: '' };
    return { type, status, reason: 'Announced', ...rest };
  };
  const conditions = [condition('Ready', 'True'), condition('Conflict', 'False')];
  return {
    metadata: { name: address, uid: 'r', generation: 1, resourceVersion: '1' },
    spec: { address, pool: 'p', services: [{ namespace: 'demo', name: 'web', uid: 'u' }] },
    status: { node: 'n1', term, state: 'serving', services: 'demo/web', conditions },
  };
}

/** A controller after a restart, and the agent of n1, which has held the VIP all the time. */
async function restarted(t: TestContext, ...flags: readonly string[]) {
  const cluster = await new FakeCluster().listen(t);
  const metadata = { uid: 'l', resourceVersion: '0' };
  cluster.lease = { metadata, spec: { holderIdentity: '', leaseTransitions: term.generation } };
  cluster.objects.set('/api/v1/services', [service(1, 80)]);
  cluster.objects.set('/apis/vipward.io/v1alpha1/virtualips', [record()]);
  const running = await controllerOf(t, cluster, ...flags);
  await untilStatus(running, ({ reason }) => reason === null);
  const held = [{ address, term }];
  const agent = agentOf(t, running, 'n1', { hello: { generation: term.generation, held } });
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving' && vips[0].term?.n === term.n);
  const written = () => cluster.written.filter(({ path }) => !path.includes('/leases'));
  return { cluster, running, agent, written };
}

test(
  'a controller that restarts finds the records right, and a change of ports writes none',
  limit,
  async (t) => {
    const { cluster, agent, written } = await restarted(t);
    await sleep(gatheredMs);
    deepEqual(written(), []);
    cluster.objects.set('/api/v1/services', [service(2, 443)]);
    cluster.listAgain();
    await agent.until(({ rules }) => rules.get(address)?.ports[0]?.port === 443);
    await sleep(gatheredMs);
    deepEqual(written(), []);
  },
);

test('a change of labels sends nothing to agents and writes nothing', limit, async (t) => {
  const { cluster, running, agent, written } = await restarted(t);
  const [{ seq }, heard] = [running.status(), agent.heard.length];
  const lists = () => cluster.read.filter((path) => path === '/api/v1/services').length;
  const before = lists();
  cluster.objects.set('/api/v1/services', [service(2, 80, { a: 'b' })]);
  cluster.listAgain();
  await untilStatus(running, () => lists() >= before + 2);
  await sleep(gatheredMs);
  equal(running.status().seq, seq);
  deepEqual([agent.heard.slice(heard).filter(({ type }) => type !== 'tick'), written()], [[], []]);
});

test(
  'the record of a VIP says so when its node has gone, and the status of the Service stays',
  limit,
  async (t) => {
    const { agent, written } = await restarted(t);
    await sleep(gatheredMs);
    await agent.close();
    await untilTrue(() => written().some(({ path }) => path.endsWith(`/virtualips/${address}/status`)));
    const [{ body: { status } = {} } = {}] = written().filter(({ path }) => path.endsWith('/status'));
    deepEqual([status.node, status.term, status.state], ['n1', term, 'unowned']);
    match(status.conditions[0].message, /^n1 is not connected and keeps it: vipward move /);
    equal(
      written().some(({ path }) => path.includes('/services/')),
      false,
    );
  },
);

test('after a restore of etcd all is listed anew, the records return and nothing moves', limit, async (t) => {
  const { cluster, running, agent, written } = await restarted(t, '--leader-elect-retry-period', '100ms');
  // No watch tells of what went back, and the version of the Service is that of another content.
  cluster.objects.set('/api/v1/services', [service(1, 443)]);
  cluster.objects.set('/apis/vipward.io/v1alpha1/virtualips', []);
  const spec = { holderIdentity: '', leaseTransitions: term.generation };
  cluster.lease = { metadata: { uid: 'l', resourceVersion: 'backup' }, spec };
  await agent.until(({ rules }) => rules.get(address)?.ports[0]?.port === 443);
  await untilTrue(() =>
    written().some(({ method, path }) => method === 'POST' && path.endsWith('/virtualips')),
  );
  await untilTrue(() => JSON.stringify(cluster.lease).includes(`"leaseTransitions":${term.generation + 1}`));
  const [vip] = running.status().vips;
  deepEqual([vip?.node, vip?.term, agent.closed], ['n1', term, null]);
});
