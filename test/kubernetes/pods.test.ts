// Both Pods of deploy/ in a real cluster: with nothing but what the chart gives them they serve a Service.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { containerFlags, containerOf, noPodman, type PodInput, Podman, writeVolumes } from '../deploy/pod.ts';
import { skip as noNode } from '../kernel/node.ts';
import { until } from '../patience.ts';
import { skip as noCluster } from './control-plane.ts';
import { account, NodeInCluster, systemNamespace, tokenOf } from './node-in-cluster.ts';

const skip = noCluster || noNode || noPodman;
const image = 'localhost/vipward:test';
const core = `/api/v1/namespaces/${systemNamespace}`;

let all: NodeInCluster;
let podman: Podman;
before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start({ hasController: false });
  await all.node.killAgent('SIGKILL');
  await all.node.killController('SIGKILL');
  podman = new Podman(all.cluster.folder);
  podman.makeImage(image);
});
after(async () => {
  if (skip !== false) return;
  podman[Symbol.dispose]();
  await all[Symbol.asyncDispose]();
});

/** Writes a folder as a kubelet does that mounts it. */
function volume(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(all.cluster.folder, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, words] of Object.entries(files)) writeFileSync(join(folder, file), words);
  return folder;
}

/** The controller's container, with what every Pod has of its ServiceAccount. */
async function controllerFlags(): Promise<readonly string[]> {
  const own = volume('account', {
    token: await tokenOf(all.cluster, account),
    'ca.crt': all.cluster.ca,
    namespace: systemNamespace,
  });
  const config = volume('config', { 'controller.yaml': 'pool:\n  - lan=10.77.0.100-10.77.0.199\n' });
  const pod = { image, fields: { 'status.podIP': '10.77.0.1' }, volumes: { config }, hosts: {} };
  const { hostname, port } = new URL(all.cluster.url);
  return containerFlags(containerOf('controller'), pod, [
    ...['--env', `KUBERNETES_SERVICE_HOST=${hostname}`, '--env', `KUBERNETES_SERVICE_PORT=${port}`],
    ...['--volume', `${own}:/var/run/secrets/kubernetes.io/serviceaccount:ro`],
  ]);
}

/** The token of an agent's Pod on a node, as the kubelet has it made. */
async function podToken(): Promise<string> {
  const spec = { serviceAccountName: 'vipward-agent', nodeName: 'node1', containers: [{ name: 'a', image }] };
  const pod = await all.cluster.do('POST', `${core}/pods`, { metadata: { name: 'agent' }, spec });
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'agent', uid: pod.metadata.uid };
  const asked = { spec: { audiences: ['vipward'], boundObjectRef, expirationSeconds: 3600 } };
  return (await all.cluster.do('POST', `${core}/serviceaccounts/vipward-agent/token`, asked)).status.token;
}

test('the Pods of the chart find and trust each other, and serve a Service', { skip }, async (t) => {
  const { cluster, node } = all;
  await cluster.do('POST', '/api/v1/nodes', { metadata: { name: 'node1' } });
  const controller = podman.start(node.node, await controllerFlags(), 'controller');
  let ca = '';
  const isTold = async () => {
    ca = (await cluster.do('GET', `${core}/configmaps/vipward-ca`)).data['ca.crt'];
    return ca !== '';
  };
  await until('the CA is published', isTold, () => controller.words);
  const volumes = writeVolumes(join(cluster.folder, 'volumes'), { ca, token: await podToken() });
  const fields = { 'spec.nodeName': 'node1', 'status.hostIP': '10.77.0.1' };
  const hosts = { [`vipward-controller.${systemNamespace}.svc`]: '127.0.0.1' };
  const pod: PodInput = { image, fields, volumes, hosts };
  const agent = podman.start(node.node, containerFlags(containerOf('agent'), pod), 'agent');
  await all.apply('web', { annotations: { 'vipward.io/delivery': 'host' } });
  await node.listen(node.node, 'tcp', 80);
  const isServed = async () => {
    assert.deepEqual(await all.served(), ['10.77.0.100: TCP 80']);
    return true;
  };
  await until('it is served', isServed, () => `${controller.words}\n${agent.words}`);
  assert.equal(await node.probe('tcp', '10.77.0.100', 80), 'open');
  assert.equal(await node.probe('tcp', '10.77.0.100', 9472), 'closed');
  assert.equal(await node.probe('tcp', '10.77.0.1', 9472), 'open');
  const isSaid = async () => {
    const { status } = await cluster.do('GET', '/api/v1/namespaces/default/services/web');
    assert.deepEqual(status.loadBalancer.ingress, [{ ip: '10.77.0.100', ipMode: 'VIP' }]);
    return true;
  };
  await until('its status says so', isSaid, () => controller.words);
  await agent.end('SIGTERM');
  await controller.end('SIGTERM');
  t.diagnostic('one controller and one agent, by the templates of the chart alone');
});
