// A real API server is killed, answers errors, is compacted, restored from a backup, or replaced: the node
// goes on serving, and after the recovery the cluster and the node agree.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { skip as noNode } from '../kernel/node.ts';
import { Cluster } from './cluster.ts';
import { skip as noCluster } from './control-plane.ts';
import { answer, type Fault, FaultProxy, reset } from './fault-proxy.ts';
import { crds, NodeInCluster, systemNamespace } from './node-in-cluster.ts';
import { Relay } from './relay.ts';
import { Replica } from './replica.ts';
import { agree, converges, steady, unmoved } from './steady.ts';

const skip = noCluster || noNode;
const host = '127.0.0.1';
const onHost = { 'vipward.io/delivery': 'host' };
/** How long the API server is away: many times as long as the controller rules without a renewal. */
const awayMs = 60_000;

let all: NodeInCluster;
let proxy: FaultProxy;
let replica: Replica;
let kubeconfig = '';

function start(config = kubeconfig): Replica {
  replica = new Replica(all, { identity: 'c1', port: 9470, kubeconfig: config });
  return replica;
}

before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start({ hasController: false });
  proxy = await FaultProxy.open({ where: all.node.node, host, port: 6444 }, all.cluster);
  kubeconfig = await all.account('c1', `http://${host}:6444`);
  await all.node.listen(all.node.node, 'udp', 53);
  await start().becomes('active');
  await all.apply('dns', { ports: ['UDP 53'], annotations: onHost });
  await all.serves('10.77.0.100: UDP 53');
  for (const name of ['a', 'b', 'c', 'd']) await all.apply(name);
  await agree(all);
});
after(async () => {
  if (skip !== false) return;
  await replica.end('SIGKILL');
  proxy[Symbol.dispose]();
  await all[Symbol.asyncDispose]();
});

/** Changes one Service, makes one and deletes one. */
let round = 0;
async function change(): Promise<void> {
  round++;
  await all.apply('a', { ports: ['TCP 80', `TCP ${1000 + round}`] });
  await all.apply(`new-${round}`);
  if (round > 1) await all.remove(`new-${round - 1}`);
}

test('the node serves its last state while the API server is down, and the controller catches up', {
  skip,
}, async (t) => {
  const sent = await steady(all, async () => {
    await all.cluster.killServer();
    await all.until('the controller stands by and says why', async () => {
      const { role, problems } = await replica.status;
      assert.match(problems.map(({ file }) => file).join(), /vipward-controller/);
      return role === 'standby';
    });
    await unmoved(all, performance.now() + awayMs);
    assert.equal((await replica.status).role, 'standby');
    await all.cluster.startServer();
    await change();
    t.diagnostic(`away for ${awayMs} ms; caught up within ${await converges(all)}`);
  });
  t.diagnostic(`0 of ${sent} lost`);
});

test('after 410 Gone in a watch the controller catches up, and no datagram is lost', { skip }, async (t) => {
  const sent = await steady(all, async () => {
    proxy.fault = () => answer(503);
    proxy.reset();
    await change();
    await all.cluster.etcd.compact();
    await all.cluster.killServer();
    await all.cluster.startServer();
    proxy.said = '';
    proxy.fault = () => null;
    t.diagnostic(`caught up within ${await converges(all)}`);
  });
  assert.match(proxy.said, /"code":410/);
  t.diagnostic(`0 of ${sent} lost`);
});

test('the controller catches up after 429 and resets, and no datagram is lost', { skip }, async (t) => {
  const sent = await steady(all, async () => {
    let count = 0;
    proxy.fault = () => {
      count++;
      return count % 2 === 0 ? answer(429, { 'retry-after': '1' }) : count % 5 === 0 ? reset : null;
    };
    for (let times = 0; times < 6; times++) {
      proxy.reset();
      await change();
      await sleep(400);
    }
    proxy.fault = () => null;
    t.diagnostic(`${count} requests met that; caught up within ${await converges(all)}`);
  });
  t.diagnostic(`0 of ${sent} lost`);
});

/** Restarts the controller under a fault; `problem` is what its status must say. */
async function startsWith(fault: (path: string) => Fault | null, problem: RegExp): Promise<void> {
  const served = await all.served();
  await steady(all, async () => {
    await replica.end('SIGKILL');
    proxy.fault = ({ path }) => fault(path);
    start();
    await all.until(`a problem ${problem}`, async () => {
      const { problems } = await replica.status;
      assert.match(JSON.stringify(problems), problem);
      return true;
    });
    await sleep(1000);
    const { reason, vips } = await replica.status;
    assert.deepEqual([reason, vips], ['NotComplete', []]);
    assert.deepEqual(await all.served(), served);
    proxy.fault = () => null;
    await replica.becomes('active');
    await agree(all);
  });
  assert.deepEqual(await all.served(), served);
}

test('a controller that starts without an API server changes nothing and says so', { skip }, async () => {
  await startsWith(() => reset, /"\/api\/v1\/services","document":null,"service":null,"message":"\w/);
});

test('a controller that lacks the right to a list changes nothing and names it', { skip }, async () => {
  await startsWith(
    (path) => (path.startsWith('/api/v1/services') ? answer(403) : null),
    /GET \/api\/v1\/services: 403 made to say 403/,
  );
  await startsWith(
    (path) => (path.includes('/virtualips') ? answer(403) : null),
    /GET \/apis\/vipward\.io\/v1alpha1\/virtualips: 403/,
  );
});

test('a controller that starts with truncated lists uses no part of one', { skip }, async () => {
  proxy.rewrite = (path) => path.replace('limit=500', 'limit=2');
  const cut: Fault = { kind: 'cut', afterBytes: 400 };
  await startsWith(
    (path) => (path.includes('/services?') && path.includes('continue=') ? cut : null),
    /"\/api\/v1\/services","document":null,"service":null,"message":"\w/,
  );
  let expired = 0;
  await startsWith((path) => {
    if (!path.includes('continue=')) return null;
    return answer(expired++ % 2 === 0 ? 410 : 500);
  }, /500 made to say 500/);
  assert.ok(expired > 1);
  proxy.rewrite = (path) => path;
});

test('the agent refuses a controller that starts with another, empty cluster', { skip }, async () => {
  await using other = await Cluster.start();
  other.kubectl(['apply', '-f', crds]);
  await other.do('POST', '/api/v1/namespaces', { metadata: { name: systemNamespace } });
  const near = { where: all.node.node, host, port: 6445 };
  using _relay = await Relay.open(near, { where: other.namespace, host: '10.99.0.1', port: 6443 });
  const served = await all.served();
  await steady(all, async () => {
    await replica.end('SIGKILL');
    await start(other.kubeconfig('c1', other.token('admin'), `https://${host}:6445`)).becomes('active');
    await all.until('the agent says why it does not obey', async () => {
      const { controllers } = await all.node.status();
      return /this node belongs to .*, the controller to/.test(controllers[0]?.reason ?? '');
    });
    assert.deepEqual(await all.served(), served);
    await replica.end('SIGKILL');
    await start().becomes('active');
    await agree(all);
  });
});

test('a controller that starts while the agent is away moves none of its VIPs', { skip }, async () => {
  await replica.end('SIGKILL');
  await all.node.killAgent('SIGKILL');
  await start().becomes('active');
  const { vips } = await replica.status;
  assert.deepEqual([...new Set(vips.map(({ node, state }) => `${node} ${state}`))], ['node1 unowned']);
  all.node.startAgent();
  await agree(all);
});

test('after the VirtualIP definition is deleted and applied again all records return, and no VIP moves', {
  skip,
}, async (t) => {
  const sent = await steady(all, async () => {
    all.cluster.kubectl(['delete', '-f', crds]);
    all.cluster.kubectl(['apply', '-f', crds]);
    t.diagnostic(`all back within ${await converges(all)}`);
  });
  t.diagnostic(`0 of ${sent} lost`);
});

/** Brings etcd back to what it was at the time of the copy. */
async function restore(backup: string): Promise<void> {
  await all.cluster.killServer();
  await all.cluster.etcd.kill();
  all.cluster.etcd.restore(backup);
  await all.cluster.startServer();
}

test('after etcd is restored from a backup the generation exceeds all before, and no VIP moves', {
  skip,
}, async (t) => {
  const backup = all.cluster.etcd.backUp();
  const sent = await steady(all, async () => {
    await replica.end('SIGKILL');
    await start().becomes('active');
    await replica.end('SIGKILL');
    await start().becomes('active');
    await agree(all);
    const { generation } = await replica.status;
    await all.apply('a', { ports: ['TCP 80', 'TCP 7777'] });
    await agree(all);
    await restore(backup);
    await agree(all);
    assert.equal((await replica.status).generation, generation, 'it ruled all along');
    assert.match(replica.log, /restoredFromBackup/);
    const lease = '/apis/coordination.k8s.io/v1/namespaces/vipward-system/leases/vipward-controller';
    await all.until('the Lease says so', async () => {
      return (await all.cluster.do('GET', lease)).spec.leaseTransitions === generation;
    });
    await replica.end('SIGKILL');
    await restore(backup);
    await start().becomes('active');
    await all.until('its generation is higher', async () => (await replica.status).generation > generation);
    await agree(all);
    const raised = (await replica.status).generation;
    assert.match(replica.log, /GenerationRaised/);
    t.diagnostic(`obeyed ${generation}, ruled by ${raised} after the backup`);
  });
  t.diagnostic(`0 of ${sent} lost`);
});
