// A real kube-proxy in the namespace of a node, and what it needs to know: a Node object, and the endpoints
// of a Service, which is a listener in the backend's namespace.
import assert from 'node:assert/strict';
import { runIn } from '../namespaces.ts';
import { programPath } from './control-plane.ts';
import type { NodeInCluster } from './node-in-cluster.ts';
import { Program } from './processes.ts';

export type Mode = 'nftables' | 'iptables';

const backends = { IPv4: '10.88.0.2', IPv6: 'fd88::2' };

export interface EndpointPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

/** Starts kube-proxy on the node, whose Node object is made if there is none. */
export async function startKubeProxy(all: NodeInCluster, mode: Mode): Promise<Program> {
  const { cluster, node } = all;
  await cluster.ask('POST', '/api/v1/nodes', { metadata: { name: 'node1' } });
  const addresses = ['10.77.0.1', 'fd77::1'].map((address) => ({ type: 'InternalIP', address }));
  const merge = { type: 'application/merge-patch+json' };
  await cluster.do('PATCH', '/api/v1/nodes/node1/status', { status: { addresses } }, merge);
  const config = cluster.kubeconfig('proxy', cluster.token('proxy'));
  const conntrack = ['--conntrack-max-per-core=0', '--conntrack-tcp-timeout-established=0'];
  const argv = [
    ...['--kubeconfig', config, '--hostname-override', 'node1', '--proxy-mode', mode],
    ...[...conntrack, '--conntrack-tcp-timeout-close-wait=0', '--nodeport-addresses=0.0.0.0/0,::/0'],
  ];
  const words = [programPath('kube-proxy'), ...argv] as const;
  return new Program(node.node, [words[0], ...words.slice(1)], `${cluster.folder}/kube-proxy-${mode}.log`);
}

/** Removes all rules of kube-proxy, as an administrator might do by hand. */
export function flushKubeProxy({ node }: NodeInCluster, mode: Mode): void {
  // A table that kube-proxy has not made yet is added first, because nft cannot delete a missing table.
  const tables = ['ip kube-proxy', 'ip6 kube-proxy'].map(
    (name) => `add table ${name}\ndelete table ${name}\n`,
  );
  const commands =
    mode === 'nftables'
      ? ['nft -f -']
      : ['iptables', 'ip6tables'].flatMap((tool) =>
          ['nat', 'filter'].map((table) => `${tool} -t ${table} -F`),
        );
  for (const command of commands) {
    const argv = command.split(' ') as [string, ...string[]];
    const { status, stderr } = runIn(node.node, argv, tables.join(''));
    assert.equal(status, 0, `${command}: ${stderr}`);
  }
}

/** Gives a Service its endpoints, of both families. */
export async function setEndpoints(
  { cluster }: NodeInCluster,
  service: string,
  ports: readonly EndpointPort[],
): Promise<void> {
  for (const [addressType, address] of Object.entries(backends)) {
    const name = `${service}-${addressType.toLowerCase()}`;
    const labels = { 'kubernetes.io/service-name': service };
    await cluster.do(
      'PATCH',
      `/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/${name}?fieldManager=test&force=true`,
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        addressType,
        ports,
        metadata: { name, namespace: 'default', labels },
        endpoints: [{ addresses: [address], conditions: { ready: true }, nodeName: 'node1' }],
      },
      { type: 'application/apply-patch+yaml' },
    );
  }
}
