// Services of a real API server, in the kernel of a real node: made, changed, deleted, and left alone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { skip as noNode } from '../kernel/node.ts';
import { skip as noCluster } from './control-plane.ts';
import { controllerUser, crds, NodeInCluster } from './node-in-cluster.ts';

const skip = noCluster || noNode;

let all: NodeInCluster;
before(async () => {
  if (skip === false) all = await NodeInCluster.start();
});
after(async () => {
  if (skip === false) await all[Symbol.asyncDispose]();
});

async function seq(): Promise<number> {
  return (await all.node.controllerStatus()).seq;
}

test('a new Service is served on its declared ports and on no other', { skip }, async () => {
  await all.node.listen(all.node.node, 'tcp', 80);
  await all.node.listen(all.node.node, 'tcp', 22);
  await all.apply('web', { annotations: { 'vipward.io/delivery': 'host' } });
  await all.serves('10.77.0.100: TCP 80');
  assert.equal(await all.node.probe('tcp', '10.77.0.100', 80), 'open');
  assert.equal(await all.node.probe('tcp', '10.77.0.100', 22), 'closed');
  assert.equal(await all.node.probe('tcp', '10.77.0.1', 22), 'open');
});

test('the agent serves each change of ports, and the test prints the latency', { skip }, async (t) => {
  const took: number[] = [];
  for (let round = 0; round < 20; round++) {
    const startedMs = performance.now();
    await all.apply('web', { ports: ['TCP 80', `TCP ${1000 + round}`] });
    await all.serves(`10.77.0.100: TCP 80, TCP ${1000 + round}`);
    took.push(performance.now() - startedMs);
  }
  took.sort((a, b) => a - b);
  t.diagnostic(`PATCH to committed, seen by polling: median ${took[10]?.toFixed(0)} ms of 20`);
});

test('delivery is forward by default: a port reaches no listener of the node', { skip }, async () => {
  assert.equal(await all.node.probe('tcp', '10.77.0.100', 80), 'closed');
});

test('a dual-stack Service is served in both families', { skip }, async () => {
  const both = { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] };
  await all.apply('dual', { ports: ['UDP 53'], spec: both });
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.101: UDP 53', 'fd77::100: UDP 53');
  await all.remove('dual');
  await all.serves('10.77.0.100: TCP 80, TCP 1019');
});

test('changes of foreign labels and annotations send nothing to the agent', { skip }, async () => {
  await all.until('one VIP is left', async () => (await all.node.controllerStatus()).vips.length === 1);
  const before = await seq();
  const ports = ['TCP 80', 'TCP 1019'];
  for (let round = 0; round < 10; round++) {
    const annotations = { 'example.com/round': String(round) };
    await all.apply('web', { ports, labels: { round: String(round) }, annotations });
  }
  await all.apply('marker', {});
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.101: TCP 80');
  assert.equal(await seq(), before + 1);
  await all.remove('marker');
  await all.serves('10.77.0.100: TCP 80, TCP 1019');
});

test('Services of other classes and types are ignored, also after a change to one', { skip }, async () => {
  await all.apply('other', { spec: { loadBalancerClass: 'example.com/lb' } });
  await all.apply('internal', { spec: { type: 'ClusterIP' } });
  await all.apply('classy', { spec: { loadBalancerClass: 'vipward.io/vip' } });
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.101: TCP 80');
  const { ignored } = await all.node.controllerStatus();
  assert.deepEqual(ignored, { 'Service of class example.com/lb': 1 });
  await all.apply('internal', {});
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.101: TCP 80', '10.77.0.102: TCP 80');
  await all.apply('internal', { spec: { type: 'ClusterIP' } });
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.101: TCP 80');
  for (const name of ['other', 'internal', 'classy']) await all.remove(name);
  await all.serves('10.77.0.100: TCP 80, TCP 1019');
});

test('annotations of other products are followed or refused by name', { skip }, async () => {
  await all.apply('metal', { annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.150' } });
  await all.apply('dhcp', { annotations: { 'kube-vip.io/loadbalancerIPs': '0.0.0.0' } });
  await all.apply('outside', { annotations: { 'vipward.io/addresses': '192.0.2.1' } });
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.150: TCP 80');
  await all.until('they are refused', async () => {
    const { refused } = await all.node.controllerStatus();
    const reasons = refused.map(({ key, reason }) => `${key} ${reason}`).sort();
    assert.deepEqual(reasons, ['default/dhcp NotSupported', 'default/outside OutsidePool']);
    return true;
  });
  for (const name of ['metal', 'dhcp', 'outside']) await all.remove(name);
  await all.serves('10.77.0.100: TCP 80, TCP 1019');
});

interface Told {
  readonly uid: string;
  readonly ingress: readonly { readonly ip: string; readonly ipMode: string }[] | undefined;
  readonly record: { readonly spec: object; readonly status?: { readonly state: string } } | null;
}

/** What the cluster says of `web`. */
async function told(): Promise<Told> {
  const { body: service } = await all.cluster.ask('GET', '/api/v1/namespaces/default/services/web');
  const found = await all.cluster.ask('GET', '/apis/vipward.io/v1alpha1/virtualips/10.77.0.100');
  const record = found.status === 200 ? found.body : null;
  return { ingress: service.status?.loadBalancer?.ingress, record, uid: service.metadata?.uid };
}

/** Waits until there are VirtualIPs for exactly these. */
async function records(...wanted: readonly string[]): Promise<void> {
  await all.until(`records of ${wanted.join(', ')}`, async () => {
    const { items } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips');
    const names = items.map((item: { metadata: { name: string } }) => item.metadata.name);
    assert.deepEqual(names, wanted);
    return true;
  });
}

test('the status and the VirtualIP show an announced Service', { skip }, async () => {
  await all.until('status and VirtualIP show the address', async () => {
    const { ingress, record, uid } = await told();
    assert.deepEqual(ingress, [{ ip: '10.77.0.100', ipMode: 'VIP' }]);
    const services = [{ namespace: 'default', name: 'web', uid }];
    assert.deepEqual(record?.spec, { address: '10.77.0.100', pool: 'lan', services });
    assert.equal(record?.status?.state, 'serving');
    return true;
  });
  const shown = all.cluster.kubectl(['get', 'vips']);
  assert.match(shown, /10\.77\.0\.100 +node1 +serving +default\/web/);
});

test('a controller that restarts moves no VIP and changes no address', { skip }, async (t) => {
  // Without the records of the cluster the first free address would be that of the deleted Service.
  await all.apply('second');
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.101: TCP 80');
  await all.apply('third');
  await all.serves('10.77.0.100: TCP 80, TCP 1019', '10.77.0.101: TCP 80', '10.77.0.102: TCP 80');
  await all.remove('second');
  const wanted = ['10.77.0.100: TCP 80, TCP 1019', '10.77.0.102: TCP 80'];
  await all.serves(...wanted);
  const terms = async (): Promise<string[]> =>
    (await all.node.status()).vips.map(({ address, term }) => `${address} ${JSON.stringify(term)}`).sort();
  await records('10.77.0.100', '10.77.0.102');
  await all.until('the node has let go', async () => (await all.node.status()).vips.length === 2);
  const before = await terms();
  // An invalid field of one Service does not keep the controller from ruling.
  const older = ['010.77.0.0/016', '::ffff:192.0.2.0/120'];
  await all.apply('third', {
    annotations: { 'vipward.io/egress': 'yes' },
    spec: { loadBalancerSourceRanges: older },
  });
  await all.until('it is named', async () => {
    const { problems } = await all.node.controllerStatus();
    return problems.some(({ service, message }) => service === 'default/third' && /egress/.test(message));
  });
  await all.node.killController('SIGKILL');
  all.node.startController();
  await all.until('the controller rules', async () => (await all.node.controllerStatus()).vips.length === 2);
  await all.serves(...wanted);
  assert.deepEqual(await terms(), before);
  t.diagnostic(`generation ${(await all.node.controllerStatus()).generation}, terms as before`);
  await all.remove('third');
  await all.serves('10.77.0.100: TCP 80, TCP 1019');
  await records('10.77.0.100');
});

test('the controller writes deleted records again, even with their definition, and no VIP moves', {
  skip,
}, async () => {
  const before = await seq();
  await all.cluster.do('DELETE', '/apis/vipward.io/v1alpha1/virtualips/10.77.0.100');
  await all.until('it is back', async () => (await told()).record?.status?.state === 'serving');
  all.cluster.kubectl(['delete', '-f', crds]);
  all.cluster.kubectl(['apply', '-f', crds]);
  await all.until('all are back', async () => (await told()).record?.status?.state === 'serving');
  assert.deepEqual(await all.served(), ['10.77.0.100: TCP 80, TCP 1019']);
  assert.equal(await seq(), before);
});

test('a deleted Service leaves no record, address or rule', { skip }, async () => {
  await all.remove('web');
  await all.serves();
  await records();
  await all.until('the kernel has none of it', async () => {
    assert.doesNotMatch(all.node.run('ip address show'), /10\.77\.0\.1\d\d/);
    assert.doesNotMatch(all.node.run('nft list ruleset'), /10\.77\.0\.1\d\d/);
    return true;
  });
});

test('an address that an absent node may still hold is given to no other Service', { skip }, async () => {
  await all.apply('web');
  await all.serves('10.77.0.100: TCP 80');
  await records('10.77.0.100');
  await all.node.killAgent('SIGKILL');
  await all.until('the node is disconnected', async () => {
    return (await all.node.controllerStatus()).nodes[0]?.connected === false;
  });
  await all.remove('web');
  await all.apply('next');
  await records('10.77.0.100', '10.77.0.101');
  await all.until('its record is released', async () => (await told()).record?.status?.state === 'released');
  await all.node.killController('SIGKILL');
  all.node.startController();
  await all.apply('another');
  await records('10.77.0.100', '10.77.0.101', '10.77.0.102');
  assert.match(all.node.run('ip address show'), /10\.77\.0\.100/);
  all.node.startAgent();
  await all.serves('10.77.0.101: TCP 80', '10.77.0.102: TCP 80');
  await records('10.77.0.101', '10.77.0.102');
  await all.apply('last');
  await records('10.77.0.100', '10.77.0.101', '10.77.0.102');
  for (const name of ['next', 'another', 'last']) await all.remove(name);
  await records();
});

test('by the audit log the controller makes the writes that it needs, and no others', { skip }, () => {
  const writes = all.cluster
    .audit(controllerUser)
    .filter(({ verb }) => !['get', 'list', 'watch'].includes(verb))
    .map(({ verb, requestURI }) => `${verb} ${requestURI.split('?')[0]}`)
    .map((line) =>
      line.replace(/services\/\w+\//, 'services/*/').replace(/virtualips\/[^/]+/, 'virtualips/*'),
    );
  const leases = '/apis/coordination.k8s.io/v1/namespaces/vipward-system/leases';
  const records = '/apis/vipward.io/v1alpha1/virtualips';
  const needed = [
    ...[`create ${leases}`, `update ${leases}/vipward-controller`, `create ${records}`],
    ...[`patch ${records}/*/status`, `delete ${records}/*`],
    'patch /api/v1/namespaces/default/services/*/status',
    'create /apis/events.k8s.io/v1/namespaces/default/events',
  ];
  // If an address goes to another Service before its record is deleted, the record is changed instead.
  const allowed = new Set([...needed, `patch ${records}/*`]);
  assert.deepEqual(
    [...new Set(writes)].filter((line) => !allowed.has(line)),
    [],
  );
  assert.deepEqual(
    needed.filter((line) => !writes.includes(line)),
    [],
  );
});
