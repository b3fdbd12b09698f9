// A node of a real cluster: the controller under its own ServiceAccount, the agent, and the API server in a
// namespace of its own beside them.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { defaultValues, renderChart } from '../../src/cli/manifests/chart.ts';
import { Node } from '../kernel/node.ts';
import { until } from '../patience.ts';
import { Cluster } from './cluster.ts';

export const systemNamespace = 'vipward-system';
export const crds: string = fileURLToPath(new URL('../../deploy/chart/templates/crds.yaml', import.meta.url));
export const account = 'vipward-controller';
export const controllerUser: string = userOf(account);

/** The user name of a ServiceAccount of ours. */
export function userOf(name: string): string {
  return `system:serviceaccount:${systemNamespace}:${name}`;
}

/** Times of the Lease that a test can wait for. */
const leaseFlags = [
  ...['--leader-elect-lease-duration', '4s', '--leader-elect-renew-deadline', '2500ms'],
  ...['--leader-elect-retry-period', '500ms'],
];

export interface NodeInClusterOptions {
  readonly controllerArgs?: readonly string[];
  readonly agentArgs?: readonly string[];
  /** False where a test starts its controllers itself. */
  readonly hasController?: boolean;
}

export interface ServiceSpec {
  readonly namespace?: string;
  /** Such as `TCP 80`. */
  readonly ports?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: object;
}

export class NodeInCluster implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly node: Node;

  private constructor(cluster: Cluster, node: Node) {
    this.cluster = cluster;
    this.node = node;
  }

  static async start(options: NodeInClusterOptions = {}): Promise<NodeInCluster> {
    await using stack = new AsyncDisposableStack();
    const cluster = stack.use(await Cluster.start());
    applyChart(cluster);
    const config = cluster.kubeconfig('controller', await tokenOf(cluster, account));
    let isJoined = false;
    const join = (node: Node): void => {
      if (!isJoined) cluster.join(node.node);
      isJoined = true;
    };
    const source = (node: Node): readonly string[] => {
      join(node);
      return controllerFlags('c1', config);
    };
    const node = stack.use(await Node.start({ ...options, services: [], source }));
    const made = new NodeInCluster(cluster, node);
    join(node);
    if (options.hasController !== false) {
      await made.until('the controller has read the cluster', async () => {
        const { synced, role } = await node.controllerStatus();
        return role === 'active' && synced !== false && Object.values(synced).every(Boolean);
      });
    }
    stack.move();
    return made;
  }

  /** The kubeconfig of a separate account with the rights of a controller. */
  async account(name: string, server: string = this.cluster.url): Promise<string> {
    await makeTwin(this.cluster, name);
    return this.cluster.kubeconfig(name, await tokenOf(this.cluster, name), server);
  }

  /** Makes a Service, or replaces what is given of one that is there. */
  async apply(name: string, given: ServiceSpec = {}): Promise<void> {
    const { namespace = 'default', ports = ['TCP 80'], ...more } = given;
    const { annotations = {}, labels = {}, spec = {} } = more;
    const list = ports.map((words) => {
      const [protocol, port] = words.split(' ');
      return { name: words.toLowerCase().replace(' ', '-'), protocol, port: Number(port) };
    });
    await this.cluster.do(
      'PATCH',
      `/api/v1/namespaces/${namespace}/services/${name}?fieldManager=test&force=true`,
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace, annotations, labels },
        spec: { type: 'LoadBalancer', selector: { app: name }, ports: list, ...spec },
      },
      { type: 'application/apply-patch+yaml' },
    );
  }

  async remove(name: string, namespace = 'default'): Promise<void> {
    await this.cluster.do('DELETE', `/api/v1/namespaces/${namespace}/services/${name}`);
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    await until(what, holds, () => this.node.log.slice(-4000));
  }

  /** What the node's agent serves: `ADDRESS: TCP 80, ...`, in order. */
  async served(): Promise<readonly string[]> {
    const { vips } = await this.node.status();
    return vips
      .filter(({ state }) => state === 'serving')
      .map(
        ({ address, ports }) =>
          `${address}: ${ports.map((port) => `${port.protocol} ${port.port}`).join(', ')}`,
      )
      .sort();
  }

  /** Waits until the node serves exactly these. */
  async serves(...wanted: readonly string[]): Promise<void> {
    await this.until(`${wanted.join('; ')} served`, async () => {
      const served = await this.served();
      assert.deepEqual(served, [...wanted].sort());
      return true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using _cluster = this.cluster;
    await this.node.stop();
  }
}

/** The flags of a controller for the cluster, with times of the Lease that a test can wait for. */
export function controllerFlags(identity: string, kubeconfig: string): readonly string[] {
  const flags = ['--kubernetes', '--kubeconfig', kubeconfig, '--namespace', systemNamespace];
  return [...flags, '--identity', identity, ...leaseFlags];
}

/** What deploy/ has: definitions, accounts and their rights. */
export function applyChart(cluster: Cluster): void {
  const values = { ...defaultValues(), createNamespace: true };
  const manifests = renderChart({ part: 'all', namespace: systemNamespace, values });
  cluster.kubectl(['apply', '--server-side', '-f', '-'], manifests);
}

/** An account that has the same rights as the controller's. */
async function makeTwin(cluster: Cluster, name: string): Promise<void> {
  const metadata = { name, namespace: systemNamespace };
  await cluster.do('POST', `/api/v1/namespaces/${systemNamespace}/serviceaccounts`, { metadata });
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  for (const path of [`${rbac}/clusterrolebindings`, `${rbac}/namespaces/${systemNamespace}/rolebindings`]) {
    const { roleRef } = await cluster.do('GET', `${path}/${account}`);
    const subjects = [{ kind: 'ServiceAccount', ...metadata }];
    await cluster.do('POST', path, { metadata: { name }, roleRef, subjects });
  }
}

/** A token of a ServiceAccount of ours. */
export async function tokenOf(cluster: Cluster, name: string): Promise<string> {
  const path = `/api/v1/namespaces/${systemNamespace}/serviceaccounts/${name}/token`;
  const { status } = await cluster.do('POST', path, { spec: { expirationSeconds: 3600 } });
  return String(status.token);
}
