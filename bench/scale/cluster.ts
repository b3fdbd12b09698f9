// A cluster with many Services, and a node in it whose link has room for their VIPs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { Cluster } from '../../test/kubernetes/cluster.ts';
import { account, applyChart, systemNamespace, tokenOf } from '../../test/kubernetes/node-in-cluster.ts';
import { Program } from '../../test/kubernetes/processes.ts';
import { Namespace, runIn } from '../../test/namespaces.ts';
import { compiled } from '../compiled-agent.ts';
import { environment, nodeFlags } from '../image.ts';
import { lowerPrograms } from './priority.ts';

/** On the link of the node; the pool is the lower half, which does not have the node's own address. */
export const range = '10.64.0.0/16';
const pool = 'scale=10.64.0.0/17';
const nodeAddress = '10.64.255.254/16';

/** As many requests as the controller itself has in flight. */
const mostInFlight = 16;
const services = '/api/v1/namespaces/default/services';

export class ScaleCluster implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly node: Namespace = Namespace.make();

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
    const links = ['link add lan type veth peer name far', `address add ${nodeAddress} dev lan`];
    const up = ['link set far up', 'link set lan up'];
    const made = runIn(this.node, ['ip', '-batch', '-'], [...links, ...up].join('\n'));
    assert.equal(made.status, 0, made.stderr);
    cluster.join(this.node);
  }

  static async start(): Promise<ScaleCluster> {
    const cluster = await Cluster.start();
    lowerPrograms();
    applyChart(cluster);
    return new ScaleCluster(cluster);
  }

  /** Makes the Services; returns how many per second. */
  async makeServices(count: number): Promise<number> {
    const startedMs = performance.now();
    let next = 0;
    const work = async (): Promise<void> => {
      for (let index = next++; index < count; index = next++)
        await this.cluster.do('POST', services, manifest(index));
    };
    await Promise.all(Array.from({ length: mostInFlight }, work));
    return Math.round(count / ((performance.now() - startedMs) / 1000));
  }

  async setPort(service: number, port: number): Promise<void> {
    const body = { spec: { ports: [{ name: 'web', port }] } };
    const type = 'application/merge-patch+json';
    await this.cluster.do('PATCH', `${services}/${nameOf(service)}`, body, { type });
  }

  /** Starts the controller as the image runs it, under its own ServiceAccount. */
  async startController(): Promise<Program> {
    const config = this.cluster.kubeconfig('controller', await tokenOf(this.cluster, account));
    const where = ['--kubeconfig', config, '--namespace', systemNamespace, '--identity', 'scale'];
    return this.#program('controller', ['--kubernetes', ...where, '--pool', pool], watching(this.lateLooks));
  }

  /** Starts a real agent, which writes to the kernel of the node. */
  startAgent(url: string): Program {
    const state = ['--state', join(this.cluster.folder, 'agent'), '--log-level', 'warn'];
    return this.#program('agent', ['--node', 'real', '--controller', url, '--allow', range, ...state]);
  }

  /** The file of the controller's late looks. */
  get lateLooks(): string {
    return join(this.cluster.folder, 'late-looks');
  }

  logOf(verb: 'controller' | 'agent'): string {
    return join(this.cluster.folder, `${verb}.log`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.stop();
    this.node[Symbol.dispose]();
  }

  #program(verb: 'controller' | 'agent', words: readonly string[], more: Start = asIs): Program {
    const given = { ...environment, ...more.variables };
    const variables = Object.entries(given).map(([name, value]) => `${name}=${value}`);
    const argv = [process.execPath, ...nodeFlags, ...more.flags, compiled, verb, ...words];
    return new Program(this.node, ['env', ...variables, ...argv], this.logOf(verb));
  }
}

/** Flags of Node and environment, in addition to those of the image. */
interface Start {
  readonly flags: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
}

const asIs: Start = { flags: [], variables: {} };

/**
 * Loads late-looks.ts without its types, because Node's stripping of types takes memory, which is measured.
 */
function watching(file: string): Start {
  const source = readFileSync(new URL('late-looks.ts', import.meta.url), 'utf8');
  const { code } = transformSync(source, { loader: 'ts' });
  const flags = [`--import=data:text/javascript;base64,${Buffer.from(code).toString('base64')}`];
  return { flags, variables: { LATE_LOOKS: file } };
}

function nameOf(service: number): string {
  return `service-${service}`;
}

function manifest(service: number): object {
  const families = { ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' };
  return {
    metadata: { name: nameOf(service) },
    spec: {
      type: 'LoadBalancer',
      allocateLoadBalancerNodePorts: false,
      ...families,
      ports: [{ name: 'web', port: 80 }],
    },
  };
}
