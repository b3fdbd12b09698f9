// One agent of the load generator: it says hello, accepts everything, acknowledges changes at once, and holds
// the VIPs that are placed on it.

import {
  type Ack,
  type ControllerMessage,
  features,
  type HeldVip,
  type Hello,
  subprotocol,
  type TableDigest,
  type TableName,
} from '../../src/protocol/messages.ts';
import type { Address, Prefix } from '../../src/state/address.ts';
import { Client, headBytes } from './client.ts';

export interface GeneratedAgentInput {
  readonly url: string;
  readonly name: string;
  readonly range: string;
  /** Addresses of the rules if this agent keeps them: a thousand agents would keep them a thousand times. */
  readonly table: Set<Address> | null;
  /** Called when a delta of the rules was acknowledged. */
  readonly onDelta: (frame: Buffer) => void;
  readonly onClosed: (reason: string) => void;
}

const tick = '{"type":"tick"}';
const nothing: TableDigest = { count: 0, digests: {} };
const retryMs = 500;
const rulesPage = '{"type":"page","table":"rules"';
const rulesDelta = /^\{"type":"delta","table":"rules","from":\d+,"to":(\d+),/;

export class GeneratedAgent {
  /** The version of the rules that was acknowledged; null before the first on a connection. */
  seq: number | null = null;
  readonly held: Map<Address, HeldVip> = new Map();
  readonly #input: GeneratedAgentInput;
  #client: Client | undefined;
  #isHeard = false;
  #isStandby = false;

  constructor(input: GeneratedAgentInput) {
    this.#input = input;
    this.#connect();
  }

  tick(): void {
    if (this.#isHeard) this.#client?.send(tick);
  }

  #connect(): void {
    this.#client = new Client({
      url: `${this.#input.url}/agent`,
      subprotocol,
      onOpen: () => this.#hello(),
      isWanted: (head) => head !== tick && (this.#input.table !== null || !head.startsWith(rulesPage)),
      onMessage: (data) => this.#heard(data),
      onClosed: (reason) => this.#closed(reason),
    });
  }

  #closed(reason: string): void {
    if (this.#isHeard) this.#input.onClosed(reason);
    this.#isHeard = false;
    this.seq = null;
    this.#input.table?.clear();
    setTimeout(() => this.#connect(), Math.random() * retryMs);
  }

  #hello(): void {
    const range = [this.#input.range] as Prefix[];
    const hello: Hello = {
      type: 'hello',
      version: 'bench',
      features,
      node: this.#input.name,
      firewall: 'nftables',
      allow: range,
      onLink: range,
      cluster: null,
      generation: 0,
      rules: nothing,
      placements: nothing,
      held: [...this.held.values()],
    };
    this.#send(hello);
  }

  #heard(data: Buffer): void {
    const seq = seqOf(headOf(data));
    if (seq !== null) {
      this.#acknowledge('rules', seq);
      this.#input.onDelta(data);
      if (this.#input.table === null) return;
    }
    this.#follow(JSON.parse(String(data)) as ControllerMessage);
  }

  #follow(message: ControllerMessage): void {
    if (message.type === 'welcome') {
      // A controller that begins to rule welcomes again the agents that connected while it stood by.
      if (message.ruling && this.#isStandby) this.#hello();
      this.#isStandby = !message.ruling;
      this.#isHeard = true;
    } else if (message.type === 'synced') {
      this.#acknowledge(message.table, message.seq);
    } else if (message.type === 'page' || message.type === 'delta') {
      const remove = message.type === 'delta' ? message.remove : [];
      if (message.table === 'placements') this.#hold(message.set, remove);
      else this.#keep(message.set, remove);
      if (message.type === 'delta' && message.table === 'placements')
        this.#acknowledge('placements', message.to);
    }
  }

  #acknowledge(table: TableName, seq: number): void {
    this.#client?.send(ackOf(table, seq));
    if (table === 'rules') this.seq = seq;
  }

  #keep(set: readonly { readonly address: Address }[], remove: readonly Address[]): void {
    for (const { address } of set) this.#input.table?.add(address);
    for (const address of remove) this.#input.table?.delete(address);
  }

  #hold(set: readonly HeldVip[], remove: readonly Address[]): void {
    for (const vip of set) this.held.set(vip.address, vip);
    for (const address of remove) this.held.delete(address);
    this.#send({ type: 'heldDelta', set, remove });
  }

  #send(message: object): void {
    this.#client?.send(JSON.stringify(message));
  }
}

/** A connection to the bare server does the same work with the same bytes as an agent. */
export function answerTo(data: Buffer): string {
  return ackOf('rules', seqOf(headOf(data)) ?? 0);
}

function headOf(data: Buffer): string {
  return data.subarray(0, headBytes).toString('latin1');
}

/** The version that a delta of the rules brings, or null. */
function seqOf(head: string): number | null {
  const to = rulesDelta.exec(head)?.[1];
  return to === undefined ? null : Number(to);
}

function ackOf(table: TableName, seq: number): string {
  return JSON.stringify({ type: 'ack', table, seq, commitUs: 20 } satisfies Ack);
}
