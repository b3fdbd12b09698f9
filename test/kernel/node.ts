// A node with a client and a backend, wired as wires.ts says, and on it a real controller and a real agent.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket, TcpNetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeReport } from '../../src/agent/report.ts';
import type { Status } from '../../src/controller/status/status.ts';
import { cannotUnshare, type Namespace, runIn, spawnIn } from '../namespaces.ts';
import { type Holds, patient, until } from '../patience.ts';
import { program } from '../program.ts';
import { manifest, type Service } from './manifest.ts';
import { hasTool } from './own-kernel.ts';
import { connectIn, getJson, listenIn, type Probe, probe } from './traffic.ts';
import { wire } from './wires.ts';

export type { Service } from './manifest.ts';

const deadlineMs = patient(30_000);

/** Why no node can be made here, or false; printed once. */
export const skip: string | false = cannotUnshare() || hasTool('ip', '-V');
if (skip !== false) process.stderr.write(`no node to test with: ${skip}\n`);

export interface NodeOptions {
  readonly services: readonly Service[];
  readonly agentArgs?: readonly string[];
  readonly controllerArgs?: readonly string[];
  readonly source?: (node: Node) => readonly string[];
  /** Commits keep their usual interval. */
  readonly paced?: boolean;
  /** False where a test starts its controllers itself. */
  readonly hasController?: boolean;
}

export interface RunOptions {
  readonly where?: Namespace;
  readonly input?: string;
}

export class Node implements AsyncDisposable {
  readonly node: Namespace;
  readonly client: Namespace;
  readonly backend: Namespace;
  readonly folder: string = mkdtempSync(join(tmpdir(), 'vipward-node-'));
  readonly #options: NodeOptions;
  readonly #closers: (() => void)[] = [];
  #agent: ChildProcess | undefined;
  #controller: ChildProcess | undefined;
  /** What both programs wrote, for the message of a failure. */
  log = '';

  private constructor(options: NodeOptions) {
    this.#options = options;
    ({ node: this.node, client: this.client, backend: this.backend } = wire());
  }

  /** A node whose Services are all in force: every VIP is served or refused. */
  static async start(options: NodeOptions): Promise<Node> {
    await using stack = new AsyncDisposableStack();
    const made = stack.use(new Node(options));
    made.writeServices(options.services);
    if (options.hasController !== false) made.startController();
    made.startAgent();
    if (options.source === undefined) await made.settled(options.services);
    stack.move();
    return made;
  }

  get agentPid(): number {
    return this.#agent?.pid ?? 0;
  }

  get controllerPid(): number {
    return this.#controller?.pid ?? 0;
  }

  /** Of a flag that is given twice the last one counts. */
  startAgent(more: readonly string[] = []): void {
    const { agentArgs = [], paced = false } = this.#options;
    const pace = paced ? [] : ['--commit-interval', '0s'];
    const state = ['--state', join(this.folder, 'agent'), ...pace, '--log-level', 'warn'];
    const where = ['--controller', 'ws://127.0.0.1:9470', '--allow', '10.77.0.0/24,fd77::/64'];
    this.#agent = this.#spawn('agent', ['--node', 'node1', ...where, ...state, ...agentArgs, ...more]);
  }

  startController(): void {
    const pool = 'lan=10.77.0.100-10.77.0.199,fd77::100-fd77::1ff';
    const files = ['--services', join(this.folder, 'services'), '--state', join(this.folder, 'controller')];
    const { controllerArgs = [], source = () => files } = this.#options;
    this.#controller = this.#spawn('controller', [...source(this), '--pool', pool, ...controllerArgs]);
  }

  /** Returns the exit code. */
  async killAgent(signal: NodeJS.Signals): Promise<number | null> {
    const agent = this.#agent;
    await this.#end(agent, signal);
    this.#agent = undefined;
    return agent?.exitCode ?? null;
  }

  async killController(signal: NodeJS.Signals): Promise<void> {
    await this.#end(this.#controller, signal);
    this.#controller = undefined;
  }

  /** Writes the Services anew, as an editor does, and waits until they are in force. */
  async setServices(services: readonly Service[]): Promise<void> {
    const { seq } = await this.controllerStatus();
    this.writeServices(services);
    await this.settled(services, seq);
  }

  /** Writes the Services anew and does not wait. */
  writeServices(services: readonly Service[]): void {
    const folder = join(this.folder, 'services');
    mkdirSync(folder, { recursive: true });
    const documents = services.map((service) => JSON.stringify(manifest(service)));
    writeFileSync(join(this.folder, 'next'), documents.join('\n---\n'));
    renameSync(join(this.folder, 'next'), join(folder, 'services.yaml'));
  }

  /** Waits until controller and agent agree on exactly these Services, by rules younger than `after`. */
  async settled(services: readonly Service[], after = 0): Promise<void> {
    const wanted = [...new Set(services.flatMap(({ addresses }) => addresses))].sort();
    await this.until('controller and agent agree', async () => {
      const { seq, nodes, vips } = await this.controllerStatus();
      if (seq <= after || nodes[0]?.seq !== seq) return false;
      const agent = await this.status();
      const known = agent.vips.map(({ address }) => address as string).sort();
      const served = agent.vips.every(({ state }) => state === 'serving' || state === 'refused');
      return agent.inSync && served && vips.length === wanted.length && `${known}` === `${wanted}`;
    });
  }

  async status(): Promise<NodeReport> {
    return (await this.#get(9471, '/status')) as NodeReport;
  }

  /** A status with every count; `status` leaves out those that a busy kernel does not deliver soon. */
  async counted(): Promise<NodeReport> {
    let report = await this.status();
    await this.until('counts', async () => {
      report = await this.status();
      return report.vips.every(({ dropped }) => dropped !== null);
    });
    return report;
  }

  async controllerStatus(): Promise<Status> {
    return (await this.#get(9470, '/api/v1/status')) as Status;
  }

  /** What a packet of a client to this port meets. */
  probe(
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
    from: Namespace = this.client,
  ): Promise<Probe> {
    return probe(from, protocol, { host: address, port });
  }

  /** A connection that is up, from the client by default; received data is in its buffer. */
  connect(host: string, port: number, from: Namespace = this.client): Promise<Socket> {
    return this.connectFrom(from, { host, port });
  }

  async connectFrom(from: Namespace, to: TcpNetConnectOpts): Promise<Socket> {
    const socket = await connectIn(from, to);
    this.#closers.push(() => socket.destroy());
    return socket;
  }

  /** Echoes what is sent to a port, on all addresses by default. */
  async listen(where: Namespace, protocol: 'tcp' | 'udp', port: number, host = '::'): Promise<void> {
    this.#closers.push(await listenIn(where, protocol, port, host));
  }

  /** Runs a program on the node (or elsewhere) that must succeed. */
  run(words: string, { where = this.node, input = '' }: RunOptions = {}): string {
    const { status, stdout, stderr } = runIn(where, words.split(' ') as [string, ...string[]], input);
    assert.equal(status, 0, `${words}: ${stderr}`);
    return stdout;
  }

  /** Waits until something is true, or fails with the logs and statuses of both programs. */
  async until(what: string, holds: Holds): Promise<void> {
    await until(what, holds, async () => {
      const status = await this.status().catch(String);
      const controller = await this.controllerStatus().catch(String);
      return `${this.log}\n${JSON.stringify({ status, controller }, null, 1)}`;
    });
  }

  /** Stops everything, the newest first, even if a part fails. */
  async stop(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    for (const namespace of [this.node, this.client, this.backend]) stack.use(namespace);
    stack.defer(() => rmSync(this.folder, { recursive: true, force: true }));
    stack.defer(() => this.#end(this.#controller, 'SIGTERM'));
    stack.defer(() => this.#end(this.#agent, 'SIGTERM'));
    for (const close of this.#closers) stack.defer(close);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #spawn(verb: string, words: readonly string[]): ChildProcess {
    const child = spawnIn(this.node, [process.execPath, program, verb, ...words], { stdio: 'pipe' });
    const kill = (): boolean => child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (part: Buffer) => {
        this.log += `${part}`;
      });
    return child;
  }

  /** A program that the test does not kill by SIGKILL must exit with 0. */
  async #end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
    if (child === undefined) return;
    const verb = child.spawnargs.slice(2, 3);
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit', { signal: AbortSignal.timeout(deadlineMs) });
      child.kill(signal);
      await ended.catch(() => {
        child.kill('SIGKILL');
        assert.fail(`${verb} has not ended by ${signal}\n${this.log}`);
      });
    }
    const { exitCode, signalCode } = child;
    const isWell = exitCode === 0 || signalCode === 'SIGKILL';
    assert.ok(isWell, `${verb} ended with ${exitCode ?? signalCode}\n${this.log}`);
  }

  async #get(port: number, path: string): Promise<unknown> {
    return await getJson(this.node, `http://127.0.0.1:${port}${path}`);
  }
}
