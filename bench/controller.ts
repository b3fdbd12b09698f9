// A controller as the product makes it, except for its source: this file gives it Services, and times acks
// when they arrive.

import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { parsePools } from '../src/controller/allocation/pools.ts';
import type { Pair } from '../src/controller/certificate.ts';
import { Controller } from '../src/controller/controller.ts';
import { Hub } from '../src/controller/hub.ts';
import { noRecords } from '../src/controller/records/records.ts';
import type { ServiceManifest } from '../src/controller/service.ts';
import { type Closing, type Session, Sessions } from '../src/controller/sessions.ts';
import { type AgentMessage, heartbeatMs } from '../src/protocol/messages.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';

const ackLimitMs = 60_000;

export class BenchController implements Disposable {
  readonly #controller: Controller;
  readonly #sessions: TimedSessions;
  readonly #hub: Hub;
  readonly #server: Server;
  /** Scheme and host of its URL. */
  readonly #origin: readonly [string, string];
  readonly #beat: NodeJS.Timeout;
  /** Until then agents are refused, so that an agent without a table can be measured. */
  isOpen = false;

  /** With `pair`, a certificate for localhost, it speaks TLS. */
  constructor(table: readonly VirtualIp[], pair?: Pair) {
    this.#server = pair === undefined ? createServer() : createTlsServer(pair);
    this.#origin = pair === undefined ? ['ws', '127.0.0.1'] : ['wss', 'localhost'];
    this.#controller = new Controller({
      records: { ...noRecords, cluster: 'bench', generation: 1 },
      pools: parsePools(['bench=10.64.0.0/10']),
      filterByDefault: true,
      onChange: () => {},
      nowMs: () => performance.now(),
    });
    this.#controller.publish({ set: table.map(manifestOf), remove: [] });
    this.#sessions = new TimedSessions(this.#controller, {
      generationRaised: () => {},
      refused: (_node, { reason }) => {
        throw new Error(`refused: ${reason}`);
      },
      impossibleTerm: () => {},
      progressed: () => {},
    });
    this.#hub = new Hub({
      sessions: this.#sessions,
      authenticate: () => ({ node: null }),
      isOpen: () => this.isOpen,
      self: () => ({ version: 'bench', cluster: 'bench', generation: 1, ruling: true }),
      onError: () => undefined,
      onTurnedAway: () => undefined,
      onGreeted: () => undefined,
      onClosed: () => undefined,
      connectionLimit: 8,
      helloTimeoutMs: 5000,
    });
    this.#hub.attach(this.#server);
    this.#beat = setInterval(() => this.#hub.tick(), heartbeatMs).unref();
  }

  /** Resolves to the URL for agents. Call it within the namespace that is to have the socket. */
  async listen(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    const [scheme, host] = this.#origin;
    this.#server.listen(0, host, resolve);
    await promise;
    return `${scheme}://${host}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Admits the agent, and returns the milliseconds from the first frame of the table to its ack. */
  async load(): Promise<number> {
    this.isOpen = true;
    await this.#sessions.heard(this.#controller.rules.seq, ackLimitMs);
    this.#controller.owners.settle();
    return this.#sessions.ackedAtMs - this.#sessions.beganAtMs;
  }

  /** Sets or removes one Service, and returns the microseconds until its ack. */
  async time(vip: VirtualIp, what: 'set' | 'remove'): Promise<number> {
    const { key, ...rest } = manifestOf(vip);
    const changes = what === 'set' ? { set: [{ key, ...rest }], remove: [] } : { set: [], remove: [key] };
    const before = this.#controller.rules.seq;
    const beganAtMs = performance.now();
    this.#controller.apply(changes);
    const { seq } = this.#controller.rules;
    if (seq !== before + 1) throw new Error(`expected one step of the table, got ${seq - before}`);
    await this.#sessions.heard(seq, ackLimitMs);
    return (this.#sessions.ackedAtMs - beganAtMs) * 1000;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#beat);
    this.#hub.terminate();
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Records when the first frame of a table is sent, and when the table is acknowledged. */
class TimedSessions extends Sessions {
  beganAtMs = 0;
  ackedAtMs = 0;
  #acked = -1;
  #waiting: { readonly seq: number; readonly resolve: () => void } | undefined;

  override begin(session: Session): void {
    this.beganAtMs = performance.now();
    super.begin(session);
  }

  override message(session: Session, message: AgentMessage): Closing | null {
    const atMs = performance.now();
    const closing = super.message(session, message);
    if (message.type === 'ack' && message.table === 'rules') {
      this.ackedAtMs = atMs;
      this.#acked = message.seq;
      if (this.#waiting !== undefined && this.#waiting.seq <= message.seq) this.#waiting.resolve();
    }
    return closing;
  }

  async heard(seq: number, limitMs: number): Promise<void> {
    if (this.#acked >= seq) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error(`no ack of ${seq} within ${limitMs} ms`)), limitMs);
    this.#waiting = { seq, resolve };
    await promise;
    clearTimeout(timer);
  }
}

function manifestOf({ address, ports }: VirtualIp): ServiceManifest {
  const [first] = ports;
  if (first === undefined) throw new Error(`${address} has no port`);
  return {
    key: first.service,
    namespace: 'bench',
    createdMs: 0,
    addresses: [address],
    pool: null,
    sharingKey: null,
    wish: { families: [], policy: null },
    ports: ports.map(({ protocol, port }) => ({ protocol, port })),
    sources: null,
    delivery: 'forward',
    egress: false,
    onlyServicePorts: null,
    trafficPolicy: 'Cluster',
    refusal: null,
  };
}
