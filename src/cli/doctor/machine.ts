// The doctor's access to this machine: netlink, socket options, files of /proc and the kernel's log. It
// writes nothing and starts nothing.

import { closeSync, constants, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { release } from 'node:os';
import { askXtables } from '../../agent/firewall/xtables.ts';
import { lockHolder } from '../../agent/lock.ts';
import type { Answer } from '../../dialects/choose.ts';
import type { DumpRequest, Transaction } from '../../dialects/dialect.ts';
import { Kernel } from '../../host/kernel.ts';
import { loadNative } from '../../host/native.ts';
import type { Peer } from '../../host/peer.ts';
import { SystemCallError } from '../../host/socket.ts';
import type { Receipt } from '../../netlink/ack.ts';
import { AF_INET, AF_INET6, SOCK_RAW } from '../../netlink/message.ts';

/** A positive errno if there is no answer. */
export type OrErrno<T> = T | number;

export interface Machine {
  /** The release that `uname -r` prints. */
  readonly release: string;
  /** The kernel's whole reply to a request. */
  ask(request: DumpRequest): Promise<OrErrno<Uint8Array>>;
  /** Sends a batch without an end message, which the kernel validates and discards. */
  judge<O>(transaction: Transaction<O>): Promise<OrErrno<Receipt<O>>>;
  /** getsockopt at the IPv4 or IPv6 level of a raw socket; `value` is input and output. */
  option(family: 4 | 6, name: number, value: Uint8Array): OrErrno<Uint8Array>;
  /** The answers of xtables and ipset to an agent's questions. Creates the tables that an agent uses. */
  askXtables(): Promise<readonly Answer[]>;
  /** 0, or the errno of opening a raw socket. */
  rawSocket(family: 4 | 6): number;
  /** The text of a file, or a code such as `ENOENT` or `EACCES`. */
  read(path: string): { readonly text: string } | { readonly code: string };
  /** The names in a folder; none if it cannot be read. */
  names(path: string): readonly string[];
  /** The records of the kernel's log, oldest first, or the reason why it cannot be read. */
  log(): readonly LogRecord[] | { readonly code: string };
  /** The process of the agent that runs here. */
  agent(): Promise<Peer | undefined>;
}

export interface LogRecord {
  readonly text: string;
  /** Since the boot of the machine. */
  readonly atSeconds: number;
}

const IPPROTO_RAW = 255;
const SOL_IP = 0;
const SOL_IPV6 = 41;

/** The bytes of an answer; empty for an errno. */
export function bytesOf(answer: OrErrno<Uint8Array>): Uint8Array {
  return typeof answer === 'number' ? new Uint8Array() : answer;
}

/** The text of a file; undefined if it cannot be read. */
export function textAt(machine: Machine, path: string): string | undefined {
  const found = machine.read(path);
  return 'text' in found ? found.text : undefined;
}

/** A sysctl of every interface; of IP also that of `all` and `default`. */
export function settings(
  machine: Machine,
  protocol: 'ipv4' | 'ipv6' | 'mpls',
  name: string,
): Map<string, number> {
  const folder = `/proc/sys/net/${protocol}/conf`;
  return new Map(
    machine.names(folder).map((link) => {
      return [link, Number(textAt(machine, `${folder}/${link}/${name}`) ?? '0')] as const;
    }),
  );
}

export function thisMachine(): Machine & Disposable {
  const native = loadNative();
  const kernel = new Kernel(native);
  const open = (family: 4 | 6): number =>
    native.socket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_RAW);
  return {
    release: release(),
    ask: (request) => errnoInstead(() => kernel.ask(request)),
    judge: (transaction) => errnoInstead(async () => await kernel.commit(transaction)),
    option(family, name, value) {
      const fd = open(family);
      if (fd < 0) return -fd;
      const result = native.getsockopt(fd, family === 4 ? SOL_IP : SOL_IPV6, name, value);
      native.close(fd);
      return result < 0 ? -result : value.subarray(0, result);
    },
    askXtables: () => askXtables(kernel),
    rawSocket(family) {
      const fd = open(family);
      if (fd < 0) return -fd;
      native.close(fd);
      return 0;
    },
    read: (path) => codeInstead(() => ({ text: readFileSync(path, 'utf8') })),
    names(path) {
      const found = codeInstead(() => ({ names: readdirSync(path) }));
      return 'names' in found ? found.names : [];
    },
    log() {
      const found = codeInstead(() => ({ lines: readLog() }));
      return 'lines' in found ? found.lines : found;
    },
    agent: () => lockHolder(native),
    [Symbol.dispose]: () => kernel[Symbol.dispose](),
  };
}

/** Each read of /dev/kmsg is one record: `level,number,microseconds,flags;text`. */
function readLog(): LogRecord[] {
  const fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  const lines: LogRecord[] = [];
  const record = Buffer.alloc(8192);
  try {
    for (;;) {
      const found = codeInstead(() => ({ length: readSync(fd, record) }));
      // EPIPE means that records were overwritten during the read; the next read continues after them.
      if ('code' in found && found.code === 'EPIPE') continue;
      if ('code' in found || found.length === 0) return lines;
      const text = record.toString('utf8', 0, found.length);
      const [, , micros] = text.split(/[,;]/, 3);
      lines.push({
        text: text.slice(text.indexOf(';') + 1).split('\n')[0] ?? '',
        atSeconds: Number(micros) / 1e6,
      });
    }
  } finally {
    closeSync(fd);
  }
}

async function errnoInstead<T>(body: () => Promise<T>): Promise<OrErrno<T>> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof SystemCallError) return error.errno;
    throw error;
  }
}

function codeInstead<T>(body: () => T): T | { readonly code: string } {
  try {
    return body();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { code };
  }
}
