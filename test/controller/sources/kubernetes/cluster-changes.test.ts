// What a controller makes of lists that lose most of their Services, or Nodes, of another cluster and pools.
import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Running } from '../../../../src/controller/run.ts';
import { untilTrue } from '../../../patience.ts';
import { configOf, serviceObject, untilStatus } from '../../fixture.ts';
import { agentOf } from '../../test-agent.ts';
import { controllerOf, FakeCluster } from './fake-cluster.ts';

const limit = { timeout: 60_000 };
const many = 12;
const massRemovalWaitMs = 3000;
const quick = ['--leader-elect-renew-deadline', '500ms', '--leader-elect-retry-period', '100ms'];

function services(count: number): object[] {
  return Array.from({ length: count }, (_, index) => {
    const object = serviceObject(`s${index}`) as { readonly metadata: object };
    return { ...object, metadata: { ...object.metadata, uid: `${index}`, resourceVersion: '1' } };
  });
}

/** A controller that has lost most of its Services a moment ago, and waits before it believes that. */
async function bereft(t: TestContext): Promise<{ cluster: FakeCluster; running: Running }> {
  const cluster = await new FakeCluster().listen(t);
  cluster.objects.set('/api/v1/services', services(many));
  const running = await controllerOf(t, { url: cluster.url, massRemovalWaitMs }, ...quick);
  await untilStatus(running, ({ vips }) => vips.length === many);
  cluster.objects.set('/api/v1/services', services(1));
  cluster.listAgain();
  await untilStatus(running, ({ massRemoval }) => massRemoval !== null);
  return { cluster, running };
}

test('a mass removal is judged by a second list, by which no VIP may have to go', limit, async (t) => {
  const { cluster, running } = await bereft(t);
  cluster.objects.set('/api/v1/services', services(many));
  await untilStatus(running, ({ massRemoval }) => massRemoval === null);
  equal(running.status().vips.length, many);
});

test('a mass removal is not believed while the Lease is not renewed', limit, async (t) => {
  const { cluster, running } = await bereft(t);
  cluster.failsLease = true;
  await untilStatus(running, ({ role }) => role === 'standby');
  await sleep(massRemovalWaitMs + 500);
  equal(running.status().vips.length, many);
  cluster.failsLease = false;
  await untilStatus(running, ({ vips }) => vips.length === 1);
});

test(
  'a node without Node and agent is forgotten, unless its Node has come back meanwhile',
  limit,
  async (t) => {
    const node = (name: string) => ({ metadata: { name, resourceVersion: '1' } });
    const cluster = await new FakeCluster().listen(t);
    const path = '/api/v1/nodes';
    cluster.objects.set(path, ['n1', 'n2', 'n3'].map(node));
    const running = await controllerOf(t, cluster);
    const list = async (...names: readonly string[]) => {
      cluster.objects.set(path, names.map(node));
      const reads = () => cluster.read.filter((read) => read === path).length;
      const before = reads();
      cluster.listAgain();
      // A list, and the watch after it.
      await untilTrue(() => reads() >= before + 2);
    };
    await untilStatus(running, ({ reason }) => reason === null);
    const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((name) => agentOf(t, running, name));
    const known = () => running.status().nodes.map(({ name, connected }) => `${name} ${connected}`);
    await untilStatus(running, ({ nodes }) => nodes.length === 3);
    await n3?.close();
    await untilTrue(() => known().includes('n3 false'));
    await list();
    await untilTrue(() => !known().some((words) => words.startsWith('n3')));
    deepEqual(known(), ['n1 true', 'n2 true']);
    await list('n2');
    await Promise.all([n1?.close(), n2?.close()]);
    await untilTrue(() => known().join() === 'n2 false');
  },
);

test('what leads to another cluster is not written, though the Lease could be', limit, async (t) => {
  const cluster = await new FakeCluster().listen(t);
  cluster.objects.set('/api/v1/services', services(1));
  const running = await controllerOf(t, cluster, '--leader-elect-retry-period', '100ms');
  await untilStatus(running, ({ vips }) => vips.length === 1);
  cluster.uid = 'another';
  cluster.listAgain();
  await untilStatus(running, ({ problems }) =>
    problems.some(({ message }) => /^another cluster/.test(message)),
  );
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  await sleep(500);
  const isTold = () => cluster.written.some(({ path }) => path.endsWith('/s0/status'));
  deepEqual([isTold(), running.status().role], [false, 'active']);
  cluster.uid = 'the-cluster';
  await untilTrue(isTold);
});

test('other pools are used without a restart', limit, async (t) => {
  const cluster = await new FakeCluster().listen(t);
  cluster.objects.set('/api/v1/services', services(1));
  const running = await controllerOf(t, cluster);
  await untilStatus(running, ({ vips }) => vips[0]?.address === '10.77.0.100');
  running.follow(await configOf(['--kubernetes', '--listen', '127.0.0.1:0', '--pool', 'p=10.77.1.5']));
  await untilStatus(running, ({ vips }) => vips[0]?.address === '10.77.1.5');
});
