// A program of its own for tests: `steady-client.ts PORT ADDRESS...` sends a datagram a millisecond to each
// of the addresses, and opens a connection every ten, until its stdin ends; then it says what became of all.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';

/** A connection that was not up within the patience, or gave no echo. */
export interface Failure {
  readonly why: string;
  /** When it was begun, in milliseconds of Date.now(). */
  readonly begunMs: number;
}

/** What became of the packets to one address. */
export interface Fate {
  readonly datagrams: number;
  readonly perSecond: number;
  /** The numbers of those that were never answered. */
  readonly lost: readonly number[];
  /** How many datagrams each node has answered, by the address it answers from. */
  readonly answeredBy: Readonly<Record<string, number>>;
  readonly connections: number;
  readonly failed: readonly Failure[];
  /** The longest that a connection took from its beginning to its echo. */
  readonly slowestMs: number;
}

const [, , port = '80', ...addresses] = process.argv;
const tickMs = 1;
const connectEvery = 10;
/** The most datagrams at once after a delay: more would overflow the buffer of the server. */
const mostAtOnce = 20;
const patienceMs = 5000;

class Target {
  readonly #address: string;
  readonly #socket;
  readonly #open = new Set<number>();
  readonly #failed: Failure[] = [];
  readonly #answeredBy: Record<string, number> = {};
  #sent = 0;
  #connections = 0;
  #isConnecting = false;
  #slowestMs = 0;

  constructor(address: string) {
    this.#address = address;
    this.#socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    this.#socket.on('error', () => {});
    this.#socket.on('message', (data, { address: from }) => {
      if (this.#open.delete(Number(data))) this.#answeredBy[from] = (this.#answeredBy[from] ?? 0) + 1;
    });
  }

  tick(): void {
    const number = this.#sent++;
    this.#open.add(number);
    this.#socket.send(String(number), Number(port), this.#address);
    if (number % connectEvery === 0) this.#connect();
  }

  /** One at a time, so that a switch finds no more than one on its way. */
  #connect(): void {
    if (this.#isConnecting) return;
    this.#isConnecting = true;
    const number = this.#connections++;
    const begunMs = Date.now();
    const beganMs = performance.now();
    const socket = connect({ host: this.#address, port: Number(port) });
    const end = (why: string): void => {
      clearTimeout(timer);
      this.#isConnecting = false;
      socket.destroy();
      if (why !== '') this.#failed.push({ why, begunMs });
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - beganMs);
    };
    const timer = setTimeout(() => end('no echo'), patienceMs);
    socket.once('connect', () => socket.write(`${number}`));
    socket.once('data', () => end(''));
    socket.once('error', (error: NodeJS.ErrnoException) => end(`${error.code} ${error.syscall}`));
  }

  /** What became of all that was sent within so long. */
  fate(lastedMs: number): Fate {
    this.#socket.close();
    return {
      datagrams: this.#sent,
      perSecond: Math.round((1000 * this.#sent) / lastedMs),
      lost: [...this.#open],
      answeredBy: this.#answeredBy,
      connections: this.#connections,
      failed: this.#failed,
      slowestMs: Math.round(this.#slowestMs),
    };
  }
}

const targets = new Map(addresses.map((address) => [address, new Target(address)]));
const startedMs = performance.now();
let ticks = 0;
const timer = setInterval(() => {
  const due = Math.floor((performance.now() - startedMs) / tickMs);
  for (ticks = Math.max(ticks, due - mostAtOnce); ticks < due; ticks++)
    for (const target of targets.values()) target.tick();
}, tickMs);
process.stdin.resume();
await once(process.stdin, 'end');
clearInterval(timer);
const lastedMs = performance.now() - startedMs;
await new Promise((resolve) => setTimeout(resolve, patienceMs + 100));
const fates = [...targets].map(([address, target]) => [address, target.fate(lastedMs)] as const);
process.stdout.write(`${JSON.stringify(Object.fromEntries(fates))}\n`);
