// A standby whose watches have been silent for a while becomes active: what the controller before it has
// placed and removed in that time stands.
import { after, before, test } from 'node:test';
import { skip as noNode } from '../kernel/node.ts';
import { skip as noCluster } from './control-plane.ts';
import { FaultProxy } from './fault-proxy.ts';
import { NodeInCluster } from './node-in-cluster.ts';
import { Replica } from './replica.ts';
import { agree, unmoved } from './steady.ts';

const skip = noCluster || noNode;
const host = '127.0.0.1';
/** Much longer than an active controller takes to send agents what it has read. */
const watchedMs = 5000;

let all: NodeInCluster;
/** The way of the second controller to the API server. */
let proxy: FaultProxy;
let first: Replica;
let second: Replica;

before(async () => {
  if (skip !== false) return;
  const agentArgs = ['--controller', `ws://${host}:9470,ws://${host}:9472`];
  all = await NodeInCluster.start({ hasController: false, agentArgs });
  proxy = await FaultProxy.open({ where: all.node.node, host, port: 6444 }, all.cluster);
  first = new Replica(all, { identity: 'c1', port: 9470, kubeconfig: await all.account('c1') });
  await first.becomes('active');
  const kubeconfig = await all.account('c2', `http://${host}:6444`);
  second = new Replica(all, { identity: 'c2', port: 9472, kubeconfig });
  await second.becomes('standby');
});
after(async () => {
  if (skip !== false) return;
  for (const replica of [first, second]) await replica.end('SIGKILL');
  proxy[Symbol.dispose]();
  await all[Symbol.asyncDispose]();
});

test('a controller that becomes active has read all earlier writes, even if its watches are silent', {
  skip,
}, async () => {
  for (const name of ['stays', 'goes']) await all.apply(name);
  await all.serves('10.77.0.100: TCP 80', '10.77.0.101: TCP 80');
  await agree(all);
  proxy.mutes = ({ path }) => path.includes('watch=true');
  await all.remove('goes');
  await all.serves('10.77.0.100: TCP 80');
  for (const name of ['late', 'later']) await all.apply(name, { ports: ['TCP 443'] });
  await all.serves('10.77.0.100: TCP 80', '10.77.0.101: TCP 443', '10.77.0.102: TCP 443');
  await agree(all);
  const served = unmoved(all, performance.now() + watchedMs);
  first.signal('SIGTERM');
  await second.becomes('active');
  await served;
  proxy.mutes = () => false;
  proxy.reset();
  await all.apply('last');
  await agree(all);
});
