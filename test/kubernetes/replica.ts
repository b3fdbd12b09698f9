// A controller of a real cluster among several: one process, that is stopped, continued and killed.
import { join } from 'node:path';
import type { Status } from '../../src/controller/status/status.ts';
import { getJson } from '../kernel/traffic.ts';
import { program } from '../program.ts';
import { controllerFlags, type NodeInCluster } from './node-in-cluster.ts';
import { Program } from './processes.ts';

export interface ReplicaPlace {
  readonly identity: string;
  readonly port: number;
  /** The path of its kubeconfig. */
  readonly kubeconfig: string;
}

export class Replica implements AsyncDisposable {
  readonly #all: NodeInCluster;
  readonly #port: number;
  readonly #program: Program;

  constructor(all: NodeInCluster, { identity, port, kubeconfig }: ReplicaPlace) {
    this.#all = all;
    this.#port = port;
    const listen = ['--listen', `127.0.0.1:${port}`, '--advertise', `127.0.0.1:${port}`];
    const argv = [process.execPath, program, 'controller', ...controllerFlags(identity, kubeconfig)];
    const pool = ['--pool', 'lan=10.77.0.100-10.77.0.199,fd77::100-fd77::1ff'];
    const log = join(all.cluster.folder, `${identity}.log`);
    this.#program = new Program(all.node.node, [...argv, ...listen, ...pool] as [string, ...string[]], log);
  }

  get isRunning(): boolean {
    return this.#program.isRunning;
  }

  /** What it logged. */
  get log(): string {
    return this.#program.all;
  }

  /** The end of its log. */
  get words(): string {
    return this.#program.words;
  }

  get status(): Promise<Status> {
    return getJson(this.#all.node.node, `http://127.0.0.1:${this.#port}/api/v1/status`) as Promise<Status>;
  }

  signal(signal: NodeJS.Signals): void {
    this.#program.signal(signal);
  }

  end(signal: NodeJS.Signals): Promise<void> {
    return this.#program.end(signal);
  }

  /** Waits until it has read the cluster and is what it should be. */
  async becomes(role: 'active' | 'standby'): Promise<void> {
    await this.#all.until(`${role} at ${this.#port}`, async () => {
      const status = await this.status;
      const isRead = status.synced !== false && Object.values(status.synced).every(Boolean);
      return isRead && status.role === role && status.reason === (role === 'active' ? null : 'Standby');
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program.end('SIGKILL');
  }
}
