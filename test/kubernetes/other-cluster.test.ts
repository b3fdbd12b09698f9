// The address of the API server suddenly leads to another cluster: the controller believes and writes nothing
// there, and catches up once the first cluster is back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { skip as noNode } from '../kernel/node.ts';
import { until } from '../patience.ts';
import { Cluster } from './cluster.ts';
import { skip as noCluster } from './control-plane.ts';
import { FaultProxy } from './fault-proxy.ts';
import { applyChart, NodeInCluster, systemNamespace } from './node-in-cluster.ts';
import { Replica } from './replica.ts';
import { agree } from './steady.ts';

const skip = noCluster || noNode;
const host = '127.0.0.1';

let all: NodeInCluster;
let proxy: FaultProxy;
let replica: Replica;

before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start({ hasController: false });
  proxy = await FaultProxy.open({ where: all.node.node, host, port: 6444 }, all.cluster);
  const kubeconfig = await all.account('c1', `http://${host}:6444`);
  replica = new Replica(all, { identity: 'c1', port: 9470, kubeconfig });
  await replica.becomes('active');
  for (const name of ['a', 'b', 'c']) await all.apply(name);
  await agree(all);
});
after(async () => {
  if (skip !== false) return;
  await replica.end('SIGKILL');
  proxy[Symbol.dispose]();
  await all[Symbol.asyncDispose]();
});

test('the controller names another cluster behind the same address, and neither obeys nor writes it', {
  skip,
}, async () => {
  await using other = await Cluster.start();
  applyChart(other);
  // It has a Service that would be served, and none of ours.
  other.kubectl(['create', 'service', 'loadbalancer', 'stranger', '--tcp=80']);
  const served = await all.served();
  proxy.leadTo(other, other.token('admin'));
  const isNamed = async () => {
    const { problems, role } = await replica.status;
    const named = problems.filter(({ message }) => /another cluster: its UID is .* start/.test(message));
    return named.some(({ file }) => file === 'vipward-controller') && named.length > 3 && role === 'standby';
  };
  await until('the other cluster is named', isNamed, async () =>
    JSON.stringify([(await replica.status).problems, replica.words]),
  );
  await all.remove('c');
  assert.deepEqual(await all.served(), served);
  const written = ['leases.coordination.k8s.io', 'virtualips.vipward.io', 'events.events.k8s.io'];
  for (const kind of written) {
    const { length } = other.kubectl(['get', kind, '-n', systemNamespace, '-o', 'name']).trim();
    assert.equal(length, 0, kind);
  }
  proxy.leadTo(all.cluster, null);
  await replica.becomes('active');
  await all.serves('10.77.0.100: TCP 80', '10.77.0.101: TCP 80');
  await agree(all);
});
