// Datagrams to a VIP at a steady pace, each of which must come back.
import { bound } from '../kernel/traffic.ts';
import type { Namespace } from '../namespaces.ts';

/** A datagram without an answer by then counts as lost. */
const patienceMs = 1000;

export class EchoTraffic implements Disposable {
  #sent = 0;
  #answered = 0;
  #isEnded = false;
  readonly #socket: Awaited<ReturnType<typeof bound>>;
  readonly #timer: NodeJS.Timeout;

  private constructor(socket: Awaited<ReturnType<typeof bound>>, { address, port, everyMs }: EchoTarget) {
    this.#socket = socket;
    socket.on('message', () => this.#answered++);
    socket.on('error', () => {});
    this.#timer = setInterval(() => {
      socket.send(String(this.#sent++), port, address);
    }, everyMs);
  }

  static async start(from: Namespace, target: EchoTarget): Promise<EchoTraffic> {
    return new EchoTraffic(await bound(from, target.address.includes(':') ? '::' : '0.0.0.0', 0), target);
  }

  /** Stops sending, and returns how many were sent and how many never came back. */
  async stop(): Promise<{ readonly sent: number; readonly lost: number }> {
    clearInterval(this.#timer);
    const end = performance.now() + patienceMs;
    while (this.#answered < this.#sent && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 5));
    this[Symbol.dispose]();
    return { sent: this.#sent, lost: this.#sent - this.#answered };
  }

  /** Needed after a failed test too: a timer keeps the process alive. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (!this.#isEnded) this.#socket.close();
    this.#isEnded = true;
  }
}

export interface EchoTarget {
  readonly address: string;
  readonly port: number;
  readonly everyMs: number;
}
