// A real controller on a free port, and an agent that speaks the protocol over a real socket and keeps what it is told.

import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { type ClientOptions, WebSocket } from 'ws';
import { type ControllerConfig, controllerConfig, controllerOptions } from '../../src/controller/config.ts';
import { type Running, startController, type Timing, usualTiming } from '../../src/controller/run.ts';
import { sha256 } from '../../src/controller/table.ts';
import { readOptions } from '../../src/process/options.ts';
import { Digests } from '../../src/protocol/digest.ts';
import type { ControllerMessage, Hello, TableDigest, TableName } from '../../src/protocol/messages.ts';
import { parseControllerMessage } from '../../src/protocol/parse.ts';
import type { Address, Prefix } from '../../src/state/address.ts';
import type { Placement, VirtualIp } from '../../src/state/virtual-ip.ts';

/** A folder that goes with the test. */
export function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'vipward-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface ServiceText {
  readonly namespace?: string;
  readonly ports?: readonly (number | string)[];
  readonly spec?: object;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly created?: string;
}

/** A manifest as JSON, which is YAML too. Ports are `80` or `53/UDP`. */
export function service(
  name: string,
  { namespace = 'demo', ports = [80], ...more }: ServiceText = {},
): string {
  return `${JSON.stringify(serviceObject(name, { namespace, ports, ...more }))}\n`;
}

export function serviceObject(
  name: string,
  { namespace = 'demo', ports = [80], ...more }: ServiceText = {},
): object {
  const list = ports.map((port) => {
    const [number, protocol = 'TCP'] = String(port).split('/');
    return { port: Number(number), protocol };
  });
  const created = more.created === undefined ? {} : { creationTimestamp: more.created };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, annotations: more.annotations ?? {}, ...created },
    spec: { type: 'LoadBalancer', ports: list, ...more.spec },
  };
}

export interface TestController extends Running {
  readonly services: string;
  readonly stateDir: string;
  /** Writes a file of the services folder. */
  readonly write: (file: string, ...documents: string[]) => void;
  readonly stop: () => Promise<void>;
}

export interface ControllerSetup {
  readonly services?: string;
  readonly stateDir?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly argv?: readonly string[];
  readonly timing?: Partial<Timing>;
}

export const pool = '10.77.0.100-10.77.0.199';

export async function configOf(argv: readonly string[]): Promise<ControllerConfig> {
  const { values } = await readOptions(controllerOptions, { argv, env: {} });
  return controllerConfig(values);
}

export async function runningController(
  context: TestContext,
  setup: ControllerSetup = {},
): Promise<TestController> {
  const services = setup.services ?? folder(context);
  const stateDir = setup.stateDir ?? folder(context);
  for (const [file, text] of Object.entries(setup.files ?? {})) writeFileSync(join(services, file), text);
  const pools = setup.argv?.some((word) => word.startsWith('--pool')) === true ? [] : ['--pool', `p=${pool}`];
  const argv = [
    '--services',
    services,
    '--state',
    stateDir,
    '--listen',
    '127.0.0.1:0',
    ...pools,
    ...(setup.argv ?? []),
  ];
  const config = await configOf(argv);
  const stopping = new AbortController();
  const timing = { ...usualTiming, settleMs: 20, ...setup.timing };
  const running = await startController(config, {
    log: pino({ level: 'silent' }),
    signal: stopping.signal,
    version: '0.0.0-test',
    droppedLogLines: () => 0,
    timing,
  });
  const stop = () => {
    stopping.abort();
    return running.done;
  };
  context.after(stop);
  const write = (file: string, ...documents: string[]) => {
    writeFileSync(join(services, file), documents.join('---\n'));
  };
  return { ...running, services, stateDir, write, stop };
}

export interface AgentSetup {
  readonly token?: string;
  readonly hello?: Partial<Hello>;
  /** False for an agent that commits nothing. */
  readonly acks?: boolean;
  readonly options?: ClientOptions;
}

/** An agent that commits at once and holds what it is given. */
export class TestAgent {
  readonly name: string;
  readonly socket: WebSocket;
  readonly heard: ControllerMessage[] = [];
  readonly rules: Map<Address, VirtualIp> = new Map();
  readonly placements: Map<Address, Placement> = new Map();
  readonly seq: Record<TableName, number | null> = { rules: null, placements: null };
  acks: boolean;
  /** False for an agent that has fallen silent. */
  ticks = true;
  /** Placements are refused with this code, if set. */
  refuses: 'AddressConflict' | null = null;
  closed: { readonly code: number; readonly reason: string } | null = null;
  readonly #hello: Partial<Hello>;
  readonly #changed = new EventEmitter();
  #pages: { table: TableName; buckets: number[]; set: (VirtualIp | Placement)[] } | null = null;

  constructor(url: string, name: string, { token, hello = {}, acks = true, options = {} }: AgentSetup = {}) {
    this.name = name;
    this.acks = acks;
    this.#hello = hello;
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/agent`, 'vipward.v1', { headers, ...options });
    this.socket.on('open', () => this.send(this.hello()));
    this.socket.on('message', (data) => this.#follow(parseControllerMessage(String(data))));
    this.socket.on('error', () => undefined);
    const ticker = setInterval(
      () => this.ticks && this.socket.readyState === 1 && this.send({ type: 'tick' }),
      500,
    );
    this.socket.on('close', (code, reason) => {
      clearInterval(ticker);
      this.closed = { code, reason: String(reason) };
      this.#changed.emit('change');
    });
  }

  hello(): Hello {
    const range = ['10.77.0.0/24', 'fd77::/64'] as Prefix[];
    return {
      type: 'hello',
      version: '0.0.0-test',
      features: [],
      node: this.name,
      firewall: 'nftables',
      allow: range,
      onLink: range,
      cluster: null,
      generation: 0,
      rules: this.digest('rules'),
      placements: this.digest('placements'),
      held: [...this.placements.values()],
      ...this.#hello,
    };
  }

  /** What this agent has, as its hello says it. */
  digest(table: TableName): TableDigest {
    return this.digests(table).summary();
  }

  digests(table: TableName): Digests {
    const digests = new Digests(sha256);
    for (const resource of this.#table(table).values()) digests.set(resource);
    return digests;
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  commit(table: TableName): void {
    this.send({ type: 'ack', table, seq: this.seq[table], commitUs: 20 });
    if (table === 'placements') this.send({ type: 'held', vips: [...this.placements.values()] });
  }

  /** Waits until the condition holds: asked again after every message. */
  async until(condition: (agent: this) => boolean): Promise<void> {
    while (!condition(this)) {
      if (this.closed !== null && !condition(this)) {
        throw new Error(`${this.name} was closed: ${this.closed.code} ${this.closed.reason}`);
      }
      await once(this.#changed, 'change');
    }
  }

  synced(): Promise<void> {
    return this.until(({ seq }) => seq.rules !== null && seq.placements !== null);
  }

  async untilClosed(): Promise<{ readonly code: number; readonly reason: string }> {
    while (this.closed === null) await once(this.#changed, 'change');
    return this.closed;
  }

  close(): Promise<unknown> {
    this.socket.close();
    return this.untilClosed();
  }

  #table(name: TableName): Map<Address, VirtualIp | Placement> {
    return name === 'rules' ? this.rules : this.placements;
  }

  #follow(message: ControllerMessage): void {
    this.heard.push(message);
    if (message.type === 'page') {
      this.#pages ??= { table: message.table, buckets: [], set: [] };
      this.#pages.buckets.push(...message.buckets);
      this.#pages.set.push(...message.set);
    } else if (message.type === 'synced') {
      this.#replace();
      this.#reached(message.table, message.seq);
    } else if (message.type === 'delta') {
      const table = this.#table(message.table);
      for (const resource of message.set) table.set(resource.address, resource);
      for (const key of message.remove) table.delete(key);
      this.#reached(message.table, message.to);
    }
    this.#changed.emit('change');
  }

  #replace(): void {
    if (this.#pages === null) return;
    const table = this.#table(this.#pages.table);
    const buckets = new Set(this.#pages.buckets);
    const digests = new Digests(sha256);
    for (const key of table.keys()) if (buckets.has(digests.bucketOf(key))) table.delete(key);
    for (const resource of this.#pages.set) table.set(resource.address, resource);
    this.#pages = null;
  }

  #reached(table: TableName, seq: number): void {
    this.seq[table] = seq;
    if (!this.acks) return;
    if (table === 'placements' && this.refuses !== null) {
      for (const key of this.placements.keys()) {
        this.send({
          type: 'refused',
          table,
          key,
          services: [],
          code: this.refuses,
          reason: 'it is the gateway',
        });
      }
      this.send({ type: 'ack', table, seq, commitUs: 20 });
    } else this.commit(table);
  }
}

export function agentOf(
  context: TestContext,
  { url }: { readonly url: string },
  name: string,
  setup?: AgentSetup,
): TestAgent {
  const agent = new TestAgent(url, name, setup);
  context.after(() => agent.socket.terminate());
  return agent;
}

/** Asks the status until it is as it should be; a test that never gets there is ended by its runner. */
export async function untilStatus(
  running: Running,
  condition: (status: ReturnType<Running['status']>) => boolean,
): Promise<void> {
  while (!condition(running.status())) await new Promise((resolve) => setTimeout(resolve, 5));
}
