// A node of a real cluster: the controller under its own ServiceAccount, the agent, and the API server in a
// namespace of its own beside them.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { defaultValues, renderChart } from '../../src/cli/manifests/chart.ts';
import { Node } from '../kernel/node.ts';
import { Cluster } from './cluster.ts';
import { until } from './processes.ts';

export const systemNamespace = 'vipward-system';
export const crds: string = fileURLToPath(new URL('../../deploy/chart/templates/crds.yaml', import.meta.url));
const account = 'vipward-controller';
export const controllerUser: string = `system:serviceaccount:${systemNamespace}:${account}`;

/** Times of the Lease that a test can wait for. */
const leaseFlags = [
  ...['--leader-elect-lease-duration', '4s', '--leader-elect-renew-deadline', '2500ms'],
  ...['--leader-elect-retry-period', '500ms'],
];

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

  static async start(controllerArgs: readonly string[] = []): Promise<NodeInCluster> {
    const cluster = await Cluster.start();
    try {
      const config = cluster.kubeconfig('controller', await makeAccount(cluster));
      const flags = ['--kubernetes', '--kubeconfig', config, '--namespace', systemNamespace];
      let isJoined = false;
      const source = (made: Node): readonly string[] => {
        if (!isJoined) cluster.join(made.node);
        isJoined = true;
        return [...flags, '--identity', 'c1', ...leaseFlags];
      };
      const node = await Node.start({ services: [], source, controllerArgs });
      const made = new NodeInCluster(cluster, node);
      await made.until('the controller has read the cluster', async () => {
        const { synced, role } = await node.controllerStatus();
        return role === 'active' && synced !== false && Object.values(synced).every(Boolean);
      });
      return made;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
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
        ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, annotations, labels } },
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
    await this.node.stop();
    await this.cluster.stop();
  }
}

/** A token of the controller's account, whose rights are those of deploy/. */
async function makeAccount(cluster: Cluster): Promise<string> {
  const values = { ...defaultValues(), createNamespace: true };
  const manifests = renderChart({ part: 'all', namespace: systemNamespace, values });
  cluster.kubectl(['apply', '--server-side', '-f', '-'], manifests);
  const path = `/api/v1/namespaces/${systemNamespace}/serviceaccounts/${account}/token`;
  const { status } = await cluster.do('POST', path, { spec: { expirationSeconds: 3600 } });
  return String(status.token);
}
