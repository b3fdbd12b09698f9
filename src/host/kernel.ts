// The only writer to the kernel: hands a transaction to the writer thread and returns the receipt.

import type { DumpRequest, Transaction } from '../dialects/dialect.ts';
import { type Receipt, receiptOf, type Step } from '../netlink/ack.ts';
import { Errno, NETLINK_NETFILTER, NETLINK_ROUTE } from '../netlink/message.ts';
import { endOfDump } from './dump.ts';
import { type Native, Operation, type Outcome } from './native.ts';
import { closeLater, type NetlinkSocket, openNetlink, SystemCallError } from './socket.ts';
import { defaultLockFile, Tables } from './tables.ts';

/** A value, or a promise of it if the kernel takes longer than `patienceUs`. */
export type Soon<T> = T | Promise<T>;

/** How long the JavaScript thread waits for a commit before it does other work. */
const patienceUs = 1000;
/** Room for the reply to a commit that the kernel accepts, or for a few refusals. */
const replyBytes = 4096;
/** How many times a dump is requested if other writers change it while it is read. */
const dumpTries = 4;

type Door = Transaction['door'];

/**
 * Two sockets for the life of the process. The nfnetlink socket owns our table: closing it would give the
 * table up. The writer thread carries out the calls one at a time.
 */
export class Kernel implements Disposable {
  /** Legacy tables; their sockets are opened at the first use. */
  readonly tables: Tables;
  readonly #native: Native;
  readonly #sockets = new Map<Door, NetlinkSocket>();
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  /** Each commit reads its reply here before the next one is submitted. */
  readonly #reply = new Uint8Array(replyBytes);
  #token = 0;

  constructor(
    native: Native,
    { lockFile = defaultLockFile }: { readonly lockFile?: string | undefined } = {},
  ) {
    this.#native = native;
    this.tables = new Tables({
      native,
      lockFile,
      run: async (...job) => await this.#submit(...job),
      ask: (request) => this.ask(request),
    });
    native.onResult((token, outcome) => {
      const resolve = this.#waiting.get(token);
      this.#waiting.delete(token);
      resolve?.(outcome);
    });
  }

  /** The port id by which the kernel identifies our writes through a door. Throws SystemCallError. */
  portId(door: Door): number {
    return this.#socket(door).portId;
  }

  /** Wakes the writer thread for a commit that follows at once. */
  prepare(): void {
    this.#native.prepare();
  }

  /** Commits the steps in order and stops after the first refused one. Throws SystemCallError. */
  commit<O>(transaction: Transaction<O>): Soon<Receipt<O>> {
    if (transaction.tables !== undefined) return this.#commitTables(transaction);
    const { fd } = this.#socket(transaction.door);
    let index = 0;
    for (const step of transaction.steps) {
      const outcome = this.#send(fd, step);
      if (outcome instanceof Promise) return this.#commitRest(transaction, index, outcome);
      index++;
      const isWritten = typeof outcome === 'number' && outcome >= 0;
      const receipt = receiptOf(step, isWritten ? this.#reply.subarray(0, outcome) : replies(outcome));
      if (receipt.length > 0) return receipt;
    }
    return [];
  }

  /**
   * The complete replies to each request. Throws SystemCallError if a request is refused, or if each try was
   * torn by other writers.
   */
  async dump(requests: readonly DumpRequest[]): Promise<Uint8Array[]> {
    const answers: Uint8Array[] = [];
    for (const request of requests)
      answers.push(request.door === 'xtables' ? await this.ask(request) : await this.#dumpWhole(request));
    return answers;
  }

  /** Sends a read-only request and returns all replies. Throws SystemCallError. */
  async ask({ door, bytes }: DumpRequest): Promise<Uint8Array> {
    if (door === 'xtables') return await this.tables.read(bytes);
    return replies(await this.#submit(Operation.exchange, this.#socket(door).fd, bytes, bytes.length));
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#sockets.values()) closeLater(this.#native, fd);
    this.#sockets.clear();
    this.tables[Symbol.dispose]();
  }

  async #dumpWhole(request: DumpRequest): Promise<Uint8Array> {
    const call = `${request.door} dump`;
    for (let tries = 0; tries < dumpTries; tries++) {
      const answer = await this.ask(request);
      const end = endOfDump(answer);
      if (end === 'whole') return answer;
      if (end !== 'torn') throw new SystemCallError(call, end);
    }
    throw new SystemCallError(
      call,
      Errno.EINTR,
      ` (another process changed it ${dumpTries} times during the dump)`,
    );
  }

  async #commitRest<O>(
    { door, steps }: Transaction<O>,
    index: number,
    pending: Promise<Outcome>,
  ): Promise<Receipt<O>> {
    const first = steps[index];
    const receipt = first === undefined ? [] : receiptOf(first, replies(await pending));
    return receipt.length > 0 ? receipt : await this.commit({ door, steps: steps.slice(index + 1) });
  }

  async #commitTables<O>({ door, steps, tables = [], after = [] }: Transaction<O>): Promise<Receipt<O>> {
    const before = await this.commit({ door, steps });
    if (before.length > 0) return before;
    for (const table of tables) {
      const receipt = await this.tables.rewrite(table);
      if (receipt.length > 0) return receipt;
    }
    return await this.commit({ door, steps: after });
  }

  /** Sends a step; what is replied at once is in `#reply`, if it fits. */
  #send(fd: number, { bytes, split, halved }: Step<unknown>): Soon<Outcome> {
    const place = halved === true ? -split : split;
    return this.#soon(
      this.#native.submit(Operation.exchange, fd, bytes, place, this.#nextToken(), patienceUs, this.#reply),
    );
  }

  #submit(operation: Operation, fd: number, bytes: Uint8Array, split: number): Soon<Outcome> {
    return this.#soon(this.#native.submit(operation, fd, bytes, split, this.#nextToken(), patienceUs));
  }

  #nextToken(): number {
    this.#token = (this.#token + 1) & 0x3fffffff;
    return this.#token;
  }

  /** The outcome of what was submitted last. */
  #soon(outcome: Outcome | undefined): Soon<Outcome> {
    return outcome ?? new Promise((resolve) => this.#waiting.set(this.#token, resolve));
  }

  #socket(door: Door): NetlinkSocket {
    let socket = this.#sockets.get(door);
    if (socket === undefined) {
      socket = openNetlink(this.#native, door === 'nfnetlink' ? NETLINK_NETFILTER : NETLINK_ROUTE);
      this.#sockets.set(door, socket);
    }
    return socket;
  }
}

function replies(outcome: Outcome): Uint8Array {
  if (typeof outcome !== 'number') return outcome;
  throw new SystemCallError('netlink exchange', -outcome);
}
