// Tables of xtables. Reads and writes them as a whole, under the lock of iptables and on the writer thread.

import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { DumpRequest, TableStep } from '../dialects/dialect.ts';
import type { Receipt } from '../netlink/ack.ts';
import { Errno, errnoWords, SOCK_RAW } from '../netlink/message.ts';
import { u32 } from '../netlink/reader.ts';
import { type Native, Operation, type Outcome } from './native.ts';
import { checked } from './socket.ts';

/** Every writer of legacy tables holds this lock; `XTABLES_LOCKFILE` names another file. */
export const defaultLockFile = '/run/xtables.lock';

export interface TablesParts {
  readonly native: Native;
  /** Runs an operation on the writer thread. */
  readonly run: (operation: Operation, fd: number, bytes: Uint8Array, split: number) => Promise<Outcome>;
  readonly ask: (request: DumpRequest) => Promise<Uint8Array>;
  readonly lockFile: string;
}

type Family = 4 | 6;

const families = {
  4: { domain: 2, level: 0, names: '/proc/net/ip_tables_names' },
  6: { domain: 10, level: 41, names: '/proc/net/ip6_tables_names' },
} as const;
const IPPROTO_RAW = 255;
/** IPT_SO_* and IP6T_SO_*; both families count from 64. */
const GET_INFO = 64;
const GET_ENTRIES = 65;
const SET_REPLACE = 64;
const SET_ADD_COUNTERS = 65;
const infoBytes = 84;
const namePlusSizeBytes = 40;
const counterBytes = 16;
/** The offset of the `counters` pointer in struct ipt_replace. */
const countersPointer = 88;
const LOCK_EX_NB = 6;
/** How often the lock is tried, and for how long. */
const lockRetryMs = 20;
const lockPatienceMs = 10_000;
/** How many times a table is read again that a writer without the lock has changed. */
const rewriteTries = 4;

export class Tables implements Disposable {
  readonly #parts: TablesParts;
  readonly #sockets = new Map<Family, number>();
  /** Descriptors of the lists of existing tables, kept open: they show the namespace they were opened in. */
  readonly #names = new Map<Family, number>();
  /** Tables known to exist. */
  readonly #known = { 4: new Set<string>(), 6: new Set<string>() };

  constructor(parts: TablesParts) {
    this.#parts = parts;
  }

  /** Opens all descriptors, in the thread's current network namespace. Throws SystemCallError. */
  open(): void {
    for (const family of [4, 6] as const) {
      checked(`raw socket of IPv${family}`, this.#socket(family));
      this.#namesOf(family);
    }
  }

  /**
   * A table as struct ipt_getinfo followed by its entries; empty if it does not exist, since asking for it
   * would create it. The request is the family and the name. Throws SystemCallError.
   */
  async read(request: Uint8Array): Promise<Uint8Array> {
    const family = request[0] === 6 ? 6 : 4;
    const table = String.fromCharCode(...request.subarray(1));
    for (let tries = 0; ; tries++) {
      if (!this.#exists(family, table)) return new Uint8Array(0);
      const found = await this.#get(family, table);
      if (typeof found !== 'number') {
        const bytes = new Uint8Array(found.info.length + found.entries.length);
        bytes.set(found.info);
        bytes.set(found.entries, found.info.length);
        return bytes;
      }
      this.#known[family].clear();
      const again = found === -Errno.EAGAIN || found === -Errno.ENOENT;
      if (!again || tries === rewriteTries) checked(`read table ${table}`, found);
    }
  }

  /**
   * getsockopt of one family on the writer thread: the value, or a negative errno. Without the family in the
   * kernel it is the errno of socket(2) (EAFNOSUPPORT).
   */
  async option(family: Family, name: number, value: Uint8Array): Promise<Outcome> {
    const fd = this.#socket(family);
    if (fd < 0) return fd;
    const bytes = optionBytes(families[family].level, name, value);
    return await this.#parts.run(Operation.getsockopt, fd, bytes, 0);
  }

  /** Reads, edits and writes one table under the lock. Throws SystemCallError and the errors of `edit`. */
  async rewrite<O>(step: TableStep<O>): Promise<Receipt<O>> {
    const lock = await this.#lock();
    if (lock < 0) return refusal(step, -lock, `cannot take the lock ${this.#parts.lockFile}`);
    try {
      for (let tries = 1; ; tries++) {
        const errno = -(await this.#writeOnce(step));
        if (errno === 0) return [];
        if (errno !== Errno.EAGAIN || tries === rewriteTries)
          return refusal(step, errno, `table ${step.table}`);
      }
    } finally {
      closeSync(lock);
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#sockets.values()) this.#parts.native.close(fd);
    for (const fd of this.#names.values()) closeSync(fd);
    this.#sockets.clear();
    this.#names.clear();
  }

  /** 0, or a negative errno; nothing has changed then. */
  async #writeOnce<O>({ family, table, sets, edit }: TableStep<O>): Promise<number> {
    const found = await this.#get(family, table);
    if (typeof found === 'number') return found;
    const { replace, origins } = edit({ ...found, sets: await this.#parts.ask(sets) });
    const oldCounters = await this.#replace(family, replace, u32(found.info, 76));
    if (typeof oldCounters === 'number') return oldCounters;
    // The old counters include packets that came during the write; they are added to the new counters.
    const counters = new Uint8Array(namePlusSizeBytes + origins.length * counterBytes);
    counters.set(replace.subarray(0, 32));
    new DataView(counters.buffer).setUint32(32, origins.length, true);
    for (const [index, origin] of origins.entries()) {
      if (origin < 0) continue;
      const old = oldCounters.subarray(origin * counterBytes, (origin + 1) * counterBytes);
      counters.set(old, namePlusSizeBytes + index * counterBytes);
    }
    await this.#set(family, SET_ADD_COUNTERS, { value: counters, split: 0 });
    return 0;
  }

  /** Returns the counters of the old table, or a negative errno. */
  async #replace(family: Family, replace: Uint8Array, oldEntries: number): Promise<Outcome> {
    const value = new Uint8Array(replace.length + oldEntries * counterBytes);
    value.set(replace);
    new DataView(value.buffer).setBigUint64(countersPointer, BigInt(replace.length), true);
    return await this.#set(family, SET_REPLACE, { value, split: countersPointer });
  }

  async #set(
    family: Family,
    name: number,
    { value, split }: { value: Uint8Array; split: number },
  ): Promise<Outcome> {
    const fd = this.#socket(family);
    if (fd < 0) return fd;
    const bytes = optionBytes(families[family].level, name, value);
    return await this.#parts.run(Operation.setsockopt, fd, bytes, split);
  }

  async #get(family: Family, table: string): Promise<{ info: Uint8Array; entries: Uint8Array } | number> {
    const question = new Uint8Array(infoBytes);
    question.set(new TextEncoder().encode(table));
    const info = await this.option(family, GET_INFO, question);
    if (typeof info === 'number') return info;
    const room = new Uint8Array(namePlusSizeBytes + u32(info, 80));
    room.set(info.subarray(0, 32));
    room.set(info.subarray(80, 84), 32);
    const entries = await this.option(family, GET_ENTRIES, room);
    return typeof entries === 'number' ? entries : { info, entries: entries.subarray(namePlusSizeBytes) };
  }

  /** A descriptor that holds the lock, or a negative errno. */
  async #lock(): Promise<number> {
    const fd = openSync(this.#parts.lockFile, constants.O_RDONLY | constants.O_CREAT, 0o600);
    for (let waitedMs = 0; ; waitedMs += lockRetryMs) {
      const outcome = await this.#parts.run(Operation.flock, fd, new Uint8Array(0), LOCK_EX_NB);
      if (outcome === 0) return fd;
      const again = outcome === -Errno.EAGAIN || outcome === -Errno.EINTR;
      if (!again || waitedMs >= lockPatienceMs) {
        closeSync(fd);
        return typeof outcome === 'number' ? outcome : -Errno.EAGAIN;
      }
      await new Promise((resolve) => setTimeout(resolve, lockRetryMs));
    }
  }

  /**
   * Whether a table exists. True if the list cannot be read, so that the kernel is asked. The kernel reads
   * the list under a mutex, and a table stays until its module goes: the answer is cached.
   */
  #exists(family: Family, table: string): boolean {
    const fd = this.#namesOf(family);
    if (typeof fd === 'string') return fd !== 'ENOENT';
    if (!this.#known[family].has(table)) {
      const room = new Uint8Array(4096);
      const length = readSync(fd, room, 0, room.length, 0);
      const names = new TextDecoder().decode(room.subarray(0, length)).split('\n');
      this.#known[family] = new Set(names);
    }
    return this.#known[family].has(table);
  }

  #namesOf(family: Family): number | string {
    const known = this.#names.get(family);
    if (known !== undefined) return known;
    try {
      const fd = openSync(families[family].names, constants.O_RDONLY);
      this.#names.set(family, fd);
      return fd;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? '';
    }
  }

  /** A descriptor, or a negative errno. */
  #socket(family: Family): number {
    const known = this.#sockets.get(family);
    if (known !== undefined) return known;
    const fd = this.#parts.native.socket(families[family].domain, SOCK_RAW, IPPROTO_RAW);
    if (fd >= 0) this.#sockets.set(family, fd);
    return fd;
  }
}

function optionBytes(level: number, name: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + value.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, level, true);
  view.setInt32(4, name, true);
  bytes.set(value, 8);
  return bytes;
}

function refusal<O>({ object }: TableStep<O>, errno: number, what: string): Receipt<O> {
  const words = errnoWords[errno];
  return [{ object, errno, words: words === undefined ? what : `${words} (${what})` }];
}
