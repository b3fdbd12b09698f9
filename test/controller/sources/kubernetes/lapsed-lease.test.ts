// A leader that cannot renew its Lease in time: it allocates and writes nothing, but streams and placements
// go on. It does the rest once it can.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { untilTrue } from '../../../patience.ts';
import { serviceObject, untilStatus } from '../../fixture.ts';
import { post } from '../../post.ts';
import { agentOf } from '../../test-agent.ts';
import { controllerOf, FakeCluster } from './fake-cluster.ts';

const limit = { timeout: 60_000 };
const quick = ['--leader-elect-renew-deadline', '500ms', '--leader-elect-retry-period', '100ms'];

function service(name: string): object {
  const object = serviceObject(name) as { readonly metadata: object };
  return { ...object, metadata: { ...object.metadata, uid: name, resourceVersion: '1' } };
}

test(
  'while the Lease is not renewed VIPs may move, but none is allocated and nothing is written',
  limit,
  async (t) => {
    const cluster = await new FakeCluster().listen(t);
    cluster.objects.set('/api/v1/services', [service('web')]);
    const running = await controllerOf(t, cluster, ...quick);
    await untilStatus(running, ({ reason }) => reason === null);
    const [one, other] = ['n1', 'n2'].map((name) => agentOf(t, running, name));
    await untilStatus(running, ({ vips, nodes }) => vips[0]?.state === 'serving' && nodes.length === 2);
    const statusOf = (name: string) => cluster.written.filter(({ path }) => path.endsWith(`/${name}/status`));
    await untilTrue(() => statusOf('web').length > 0);
    await untilStatus(running, ({ nodes }) => nodes.every(({ seq }) => seq === 1));
    cluster.failsLease = true;
    await untilStatus(running, ({ role }) => role === 'standby');
    await sleep(100);
    const written = () => cluster.written.filter(({ path }) => !path.includes('/leases')).length;
    const before = written();
    cluster.objects.set('/api/v1/services', [service('web'), service('next')]);
    cluster.listAgain();
    const [{ node = null } = {}] = running.status().vips;
    const to = node === 'n1' ? 'n2' : 'n1';
    equal((await post(running.url, 'move', { vip: '10.77.0.100', node: to })).status, 200);
    await sleep(500);
    const { vips, problems } = running.status();
    deepEqual(
      [vips.map((vip) => vip.node), written(), one?.closed, other?.closed],
      [[to], before, null, null],
    );
    equal(problems[0]?.file, 'vipward-controller');
    cluster.failsLease = false;
    await untilStatus(running, (status) => status.role === 'active' && status.vips.length === 2);
    await untilTrue(() => statusOf('next').length > 0);
    deepEqual(statusOf('next')[0]?.body.status.loadBalancer.ingress[0].ip, '10.77.0.101');
  },
);

test('what waited for the Lease is written once that is renewed', limit, async (t) => {
  const cluster = await new FakeCluster().listen(t);
  cluster.objects.set('/api/v1/services', [service('web')]);
  const running = await controllerOf(t, cluster, ...quick);
  await untilStatus(running, ({ reason }) => reason === null);
  // Records that cannot be listed are not looked at each second, which would let waiting writes go.
  cluster.refused.set('/apis/vipward.io/v1alpha1/virtualips', 403);
  cluster.listAgain();
  await untilStatus(running, ({ problems }) => problems.length > 0);
  cluster.failsLease = true;
  await untilStatus(running, ({ role }) => role === 'standby');
  agentOf(t, running, 'n1');
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  await sleep(500);
  const isTold = () => cluster.written.some(({ path }) => path.endsWith('/web/status'));
  equal(isTold(), false);
  cluster.failsLease = false;
  await untilTrue(isTold);
});

test('the generation is raised by a controller whose Lease is renewed, and by no other', limit, async (t) => {
  const cluster = await new FakeCluster().listen(t);
  const running = await controllerOf(t, cluster, ...quick);
  await untilStatus(running, ({ reason }) => reason === null);
  cluster.failsLease = true;
  await untilStatus(running, ({ role }) => role === 'standby');
  const hello = { generation: 7 };
  const early = agentOf(t, running, 'n1', { hello });
  await early.until(({ heard }) => heard.length > 0);
  equal(running.status().generation, 1);
  cluster.failsLease = false;
  await untilStatus(running, ({ role }) => role === 'active');
  agentOf(t, running, 'n2', { hello });
  await untilStatus(running, ({ generation }) => generation === 8);
});
