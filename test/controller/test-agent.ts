// A test agent that speaks the protocol over a real socket, keeps what it is sent and commits at once.

import { EventEmitter } from 'node:events';
import type { TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { sha256 } from '../../src/controller/stream/table.ts';
import { Digests } from '../../src/protocol/digest.ts';
import type { ControllerMessage, Hello, TableDigest, TableName } from '../../src/protocol/messages.ts';
import { parseControllerMessage } from '../../src/protocol/parse.ts';
import type { Address, Prefix } from '../../src/state/address.ts';
import type { Placement, VirtualIp } from '../../src/state/virtual-ip.ts';
import { untilChanged } from '../patience.ts';

export interface AgentSetup {
  readonly token?: string;
  readonly hello?: Partial<Hello>;
  /** False for an agent that commits nothing. */
  readonly acks?: boolean;
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
  refuses: 'AddressConflict' | 'KernelRefused' | null = null;
  /** The MAC address that such a refusal names. */
  answeredBy: string | null = null;
  closed: { readonly code: number; readonly reason: string } | null = null;
  readonly #hello: Partial<Hello>;
  readonly #changed = new EventEmitter();
  #pages: { table: TableName; buckets: number[]; set: (VirtualIp | Placement)[] } | null = null;

  constructor(url: string, name: string, { token, hello = {}, acks = true }: AgentSetup = {}) {
    this.name = name;
    this.acks = acks;
    this.#hello = hello;
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/agent`, 'vipward.v1', { headers });
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

  /** The digests of a table, as a hello has them. */
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

  /** Waits until the condition holds. It is checked after every message, so that no state is missed. */
  async until(condition: (agent: this) => boolean): Promise<void> {
    const holds = (): boolean => {
      if (condition(this)) return true;
      if (this.closed === null) return false;
      throw new Error(`${this.name} was closed: ${this.closed.code} ${this.closed.reason}`);
    };
    await untilChanged(this.#changed, holds, `${this.name}: ${condition}`);
  }

  synced(): Promise<void> {
    return this.until(({ seq }) => seq.rules !== null && seq.placements !== null);
  }

  async untilClosed(): Promise<{ readonly code: number; readonly reason: string }> {
    await untilChanged(this.#changed, () => this.closed !== null);
    return this.closed ?? { code: 0, reason: '' };
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
          ...(this.answeredBy === null ? {} : { mac: this.answeredBy }),
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
