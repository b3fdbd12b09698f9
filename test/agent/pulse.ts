// Measures whether an agent stays responsive under load: its stream and its /healthz are asked many times a
// second, and it is sent changes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TableName } from '../../src/protocol/messages.ts';
import { openPort, rulesOf } from '../kernel/firewall.ts';
import type { Node } from '../kernel/node.ts';
import type { FakeController, Stream } from './fake-controller.ts';

const askEveryMs = 20;
/** The number of VIPs that are sent, each with a port that changes. */
const vips = 50;

/** The longest pause between two beats, and the longest one less the time spent waiting for a CPU. */
class Pauses {
  readonly beatsAtMs: number[] = [];
  longestMs = 0;
  longestOwnMs = 0;
  readonly #waitedMs: () => number;
  #lastMs: number = performance.now();
  #lastWaitedMs: number;

  constructor(waitedMs: () => number) {
    this.#waitedMs = waitedMs;
    this.#lastWaitedMs = waitedMs();
  }

  beat(): void {
    const [now, waited] = [performance.now(), this.#waitedMs()];
    const pauseMs = now - this.#lastMs;
    this.longestMs = Math.max(this.longestMs, pauseMs);
    this.longestOwnMs = Math.max(this.longestOwnMs, pauseMs - (waited - this.#lastWaitedMs));
    this.#lastMs = now;
    this.#lastWaitedMs = waited;
    this.beatsAtMs.push(now);
  }

  during({ fromMs, toMs }: Span): number {
    return this.beatsAtMs.filter((atMs) => atMs > fromMs && atMs < toMs).length;
  }
}

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Figures {
  readonly words: string;
  /** The longest pause of stream or /healthz, less what the scheduler let agent and test wait meanwhile. */
  readonly ownSilenceMs: number;
  /** How many signs of life there were on the stream and of /healthz. */
  readonly during: (span: Span) => readonly [number, number];
}

/** Asks until `end`. An agent that answers anything but 200 on /healthz ends the test. */
export async function takePulse(
  node: Node,
  controller: FakeController,
  pid: number = node.agentPid,
): Promise<{ end(): Figures }> {
  const socket = await node.connect('127.0.0.1', 9471, node.node);
  const waited = (): number => waitedMs(pid) + waitedMs(process.pid);
  const [pongs, answers] = [new Pauses(waited), new Pauses(waited)];
  controller.onPong = () => pongs.beat();
  const pings = setInterval(() => controller.ping(), askEveryMs);
  const ask = (): boolean => socket.write('GET /healthz HTTP/1.1\r\nHost: agent\r\n\r\n');
  let next: NodeJS.Timeout | undefined;
  socket.on('data', (part: Buffer) => {
    assert.match(`${part}`, /^HTTP\/1\.1 200 /);
    answers.beat();
    next = setTimeout(ask, askEveryMs);
  });
  ask();
  return {
    end() {
      clearInterval(pings);
      clearTimeout(next);
      socket.destroy();
      pongs.beat();
      answers.beat();
      const ownSilenceMs = Math.max(pongs.longestOwnMs, answers.longestOwnMs);
      const [silence, health, own] = [pongs.longestMs, answers.longestMs, ownSilenceMs].map(Math.round);
      const words = `silence of the stream ${silence} ms, of /healthz ${health} ms, less CPU wait ${own} ms`;
      const during = (span: Span) => [pongs.during(span), answers.during(span)] as const;
      return { words: `longest ${words}`, ownSilenceMs, during };
    },
  };
}

/** How long the main thread of a process waited for a CPU: the second word of schedstat, in ns. */
function waitedMs(pid: number): number {
  const [, waitedNs] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ');
  return Number(waitedNs) / 1e6;
}

export interface Changes {
  readonly count: number;
  /** The longest time from sending rules to their acknowledgement, in which they were committed. */
  longestCommit(): Span;
  areAcknowledged(): boolean;
  /** Fails unless each VIP is on the node, behind a rule for its last port. */
  checkKernel(node: Node): void;
}

export interface ChangeOptions {
  readonly forMs: number;
  readonly everyMs: number;
  /** Goes on after `forMs` until this holds, but at most for `hopelessMs`. */
  readonly until?: () => Promise<boolean>;
}

const hopelessMs = 60_000;
const always = async (): Promise<boolean> => true;

/**
 * Sends VIPs that are placed on the node, and then changes of their ports, on a stream that has begun. An
 * agent rightly gives up a test that gets no CPU for seconds: then all is sent again on the next stream.
 */
export async function change(
  controller: FakeController,
  first: Stream,
  { forMs, everyMs, until = always }: ChangeOptions,
): Promise<Changes> {
  const { generation } = first.hello;
  const end = performance.now() + forMs;
  const ports = new Map<string, number>();
  let told = new Telling(first);
  const all = [told];
  controller.onHello = (stream) => {
    stream.begin();
    told = new Telling(stream);
    all.push(told);
    for (const [index, [address, number]] of [...ports].entries()) {
      told.say('rules', rule(address, number));
      told.say('placements', { address, term: { generation, n: 100 + index } });
    }
  };
  let count = 0;
  const isOver = async (): Promise<boolean> => {
    const now = performance.now();
    return now >= end && (now >= end + hopelessMs || (await until()));
  };
  for (; !(await isOver()); count++) {
    const [address, number] = [`10.77.0.${110 + (count % vips)}`, 8000 + (count % 1000)];
    told.say('rules', rule(address, number));
    if (!ports.has(address)) told.say('placements', { address, term: { generation, n: 100 + count } });
    ports.set(address, number);
    await sleep(everyMs);
  }
  return {
    count,
    longestCommit: () => longestOf(all.flatMap((one) => one.commits())),
    areAcknowledged: () => told.isAcknowledged,
    checkKernel(node) {
      const [filter, addresses] = [rulesOf(node), node.run('ip -o address')];
      for (const [address, number] of ports) {
        assert.match(filter, openPort(address, 'tcp', number));
        assert.ok(addresses.includes(` ${address}/32 `), `${address} is not on the node`);
      }
    },
  };
}

function longestOf(spans: readonly Span[]): Span {
  const longer = (one: Span, other: Span): Span =>
    other.toMs - other.fromMs > one.toMs - one.fromMs ? other : one;
  return spans.reduce(longer, { fromMs: 0, toMs: 0 });
}

/** The deltas of one stream after its begin(). */
export class Telling {
  readonly #stream: Stream;
  readonly #seq: Record<TableName, number> = { rules: 7, placements: 7 };
  /** When each delta of rules was sent, by its number. */
  readonly #toldAtMs = new Map<number, number>();

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  say(table: TableName, resource: object): void {
    this.#say(table, { set: [resource], remove: [] });
  }

  remove(table: TableName, address: string): void {
    this.#say(table, { set: [], remove: [address] });
  }

  /** From sending rules, or from the acknowledgement before if that was later, to their acknowledgement. */
  commits(): Span[] {
    let before = { seq: 7, atMs: 0 };
    const spans: Span[] = [];
    for (const ack of this.#stream.acks) {
      const toldAtMs = this.#toldAtMs.get(before.seq + 1) ?? ack.atMs;
      if (ack.seq > before.seq) spans.push({ fromMs: Math.max(before.atMs, toldAtMs), toMs: ack.atMs });
      before = ack;
    }
    return spans;
  }

  #say(table: TableName, change: object): void {
    const from = this.#seq[table]++;
    if (table === 'rules') this.#toldAtMs.set(from + 1, performance.now());
    this.#stream.say({ type: 'delta', table, from, to: from + 1, ...change });
  }

  get isAcknowledged(): boolean {
    const isSaid = (table: TableName): boolean =>
      this.#stream.heard.some(
        (said) => said.type === 'ack' && said.table === table && said.seq === this.#seq[table],
      );
    return isSaid('rules') && isSaid('placements');
  }
}

/** A VIP with one port, as it stands in a delta. */
export function rule(address: string, number: number): object {
  const port = { protocol: 'TCP', port: number, service: 'default/web', delivery: 'host', sources: null };
  return { address, filtered: true, egress: false, ports: [port] };
}
