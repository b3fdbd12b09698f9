// An agent written from docs/protocol.md alone: nothing of src is imported here, on purpose.

import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { WebSocket } from 'ws';
import { untilChanged } from '../patience.ts';

export interface Resource {
  readonly address: string;
  readonly [member: string]: unknown;
}

export type Name = 'rules' | 'placements';

const names: readonly Name[] = ['rules', 'placements'];
const sha256 = (text: string) => createHash('sha256').update(text, 'utf8').digest('hex');
const bucketOf = (address: string) => Number.parseInt(sha256(address).slice(0, 2), 16);

/** One table as the page describes it. */
class SecondTable {
  readonly resources: Map<string, Resource> = new Map();
  seq: number | null = null;
  #pages: { buckets: number[]; set: Resource[] } = { buckets: [], set: [] };

  /** The digests of the 256 buckets. */
  #buckets(): bigint[] {
    const sums = Array.from({ length: 256 }, () => 0n);
    for (const resource of this.resources.values()) {
      const bucket = bucketOf(resource.address);
      const hash = BigInt(`0x${sha256(JSON.stringify(resource)).slice(0, 16)}`);
      sums[bucket] = (sums[bucket] ?? 0n) ^ hash;
    }
    return sums;
  }

  have(): object {
    const full = new Set([...this.resources.keys()].map(bucketOf));
    const digests = this.#buckets().map(
      (sum, bucket) => [bucket, sum.toString(16).padStart(16, '0')] as const,
    );
    return {
      count: this.resources.size,
      digests: Object.fromEntries(digests.filter(([bucket]) => full.has(bucket))),
    };
  }

  total(): string {
    const text = this.#buckets().map((sum) => sum.toString(16).padStart(16, '0'));
    return sha256(text.join('')).slice(0, 16);
  }

  page(buckets: number[], set: Resource[]): void {
    this.#pages.buckets.push(...buckets);
    this.#pages.set.push(...set);
  }

  /** False if the table is then not what it must be; it is left as it was. */
  synced(seq: number, count: number, digest: string): boolean {
    const before = new Map(this.resources);
    const { buckets, set } = this.#pages;
    this.#pages = { buckets: [], set: [] };
    for (const key of before.keys()) if (buckets.includes(bucketOf(key))) this.resources.delete(key);
    for (const resource of set) this.resources.set(resource.address, resource);
    if (this.resources.size === count && this.total() === digest) {
      this.seq = seq;
      return true;
    }
    this.resources.clear();
    for (const [key, resource] of before) this.resources.set(key, resource);
    return false;
  }

  /** False if it does not begin where the table is. */
  delta(from: number, to: number, { set, remove }: { set: Resource[]; remove: string[] }): boolean {
    if (from !== this.seq) return false;
    for (const key of remove) this.resources.delete(key);
    for (const resource of set) this.resources.set(resource.address, resource);
    this.seq = to;
    return true;
  }
}

/** Any message of a controller; its type says which members it has. */
interface Message {
  readonly type: string;
  readonly table: Name;
  readonly buckets: number[];
  readonly set: Resource[];
  readonly remove: string[];
  readonly seq: number;
  readonly count: number;
  readonly digest: string;
  readonly from: number;
  readonly to: number;
}

type Tables = Record<Name, SecondTable>;

interface Welcome {
  readonly features: readonly string[];
  readonly cluster: string;
  readonly generation: number;
  readonly ruling: boolean;
}

/** One connection; the tables outlive it. */
export class SecondClient {
  readonly heard: string[] = [];
  welcome: Welcome | undefined;
  readonly tables: Tables;
  readonly #socket: WebSocket;
  readonly #changed = new EventEmitter();
  readonly #awaited = new Set<Name>();
  /** What the controller knows to be held, as JSON, by address. */
  #told = new Map<string, string>();

  constructor(url: string, node: string, tables?: Tables) {
    this.tables = tables ?? { rules: new SecondTable(), placements: new SecondTable() };
    for (const name of names) this.tables[name].seq = null;
    this.#socket = new WebSocket(`${url}/agent`, 'vipward.v1', { perMessageDeflate: false });
    this.#socket.on('open', () => this.#hello(node));
    this.#socket.on('message', (data) => {
      this.#hear(JSON.parse(String(data)) as Message);
      this.#changed.emit('change');
    });
    const ticker = setInterval(() => this.#say({ type: 'tick' }), 1000);
    this.#socket.on('close', () => clearInterval(ticker));
    this.#socket.on('error', () => undefined);
  }

  until(condition: () => boolean): Promise<void> {
    return untilChanged(this.#changed, condition);
  }

  synced(): Promise<void> {
    return this.until(() => names.every((name) => this.tables[name].seq !== null));
  }

  resync(name: Name): void {
    this.#awaited.add(name);
    this.#say({ type: 'resync', table: name, have: this.tables[name].have() });
  }

  async close(): Promise<void> {
    this.#say({ type: 'bye' });
    this.#socket.close(1000);
    await once(this.#socket, 'close');
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #hello(node: string): void {
    const { rules, placements } = this.tables;
    const held = [...placements.resources.values()];
    this.#told = new Map(held.map((vip) => [vip.address, JSON.stringify(vip)]));
    const range = ['10.77.0.0/24'];
    this.#say({
      type: 'hello',
      version: '2.0.0',
      features: [],
      node,
      firewall: 'none',
      allow: range,
      onLink: range,
      cluster: null,
      generation: 0,
      rules: rules.have(),
      placements: placements.have(),
      held,
    });
  }

  #say(message: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #hear(message: Message): void {
    const { type, table: name, buckets, set, remove, seq, count, digest, from, to } = message;
    if (type === 'tick') return;
    this.heard.push(type);
    const table = this.tables[name];
    if (type === 'welcome') this.welcome = message as unknown as Welcome;
    else if (type === 'page') table.page(buckets, set);
    else if (type === 'synced') this.#took(name, table.synced(seq, count, digest));
    else if (type === 'delta' && !this.#awaited.has(name))
      this.#took(name, table.delta(from, to, { set, remove }));
  }

  /** Acknowledges a whole table, or asks for what is missing. */
  #took(name: Name, isWhole: boolean): void {
    if (!isWhole) {
      this.resync(name);
      return;
    }
    this.#awaited.delete(name);
    const table = this.tables[name];
    if (name === 'placements') this.#sayHeld([...table.resources.values()]);
    this.#say({ type: 'ack', table: name, seq: table.seq, commitUs: 1 });
  }

  /** Sends the whole list, or the changes to a controller that supports them. */
  #sayHeld(vips: readonly Resource[]): void {
    const before = this.#told;
    this.#told = new Map(vips.map((vip) => [vip.address, JSON.stringify(vip)]));
    if (this.welcome?.features.includes('held-delta') !== true) {
      this.#say({ type: 'held', vips });
      return;
    }
    const set = vips.filter((vip) => before.get(vip.address) !== JSON.stringify(vip));
    const remove = [...before.keys()].filter((address) => !this.#told.has(address));
    this.#say({ type: 'heldDelta', set, remove });
  }
}
