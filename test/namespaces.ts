// Network namespaces for tests: made in this process by the test-only addon, entered by the main thread, and
// left again. A socket belongs to the namespace it is made in, a child process to the one at its fork.
import {
  type ChildProcess,
  type SpawnOptions,
  type SpawnSyncReturns,
  spawn,
  spawnSync,
} from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { loadNative, Operation } from '../src/host/native.ts';
import { patient } from './patience.ts';

interface NamespaceCalls {
  unshare(flags: number): number;
  setns(fd: number, flags: number): number;
}

const CLONE_NEWNET = 0x40000000;
const RTM_NEWLINK = 16;
const NLM_F_REQUEST_ACK = 0x5;
const IFF_UP = 1;

const [EPERM, ENOSPC, ENOSYS] = [1, 28, 38];

/** A call that the kernel has refused. */
class RefusedError extends Error {
  readonly errno: number;

  constructor(what: string, errno: number) {
    const hint =
      errno === EPERM ? ' (run with sudo, or sysctl kernel.apparmor_restrict_unprivileged_userns=0)' : '';
    super(`${what}: errno ${errno}${hint}`);
    this.errno = errno;
  }
}

export interface UnshareOptions {
  /** The attempt to make a namespace. */
  readonly make?: () => void;
  /** True if run.ts has made namespaces: then a refusal is a failure. */
  readonly isProved?: boolean;
}

/**
 * Why the kernel lets this process make no network namespace, or false: fits the `skip` option of node:test.
 * Any other error is thrown, because no test may be skipped for it.
 */
export function cannotUnshare({
  make = () => Namespace.make({ loopback: 'down' })[Symbol.dispose](),
  isProved = process.env['VIPWARD_TEST_NAMESPACES'] === 'made',
}: UnshareOptions = {}): string | false {
  try {
    make();
    return false;
  } catch (error) {
    const isRefusal = error instanceof RefusedError && [EPERM, ENOSPC, ENOSYS].includes(error.errno);
    if (isProved || !isRefusal) throw error;
    return error.message;
  }
}

/**
 * A network namespace, alive while its descriptor is open or something lives in it. Only the main thread
 * moves: make and enter namespaces before any thread-pool work (fs.promises, dns), and use sync fs for
 * /proc/sys/net.
 */
export class Namespace implements Disposable {
  /** An open descriptor of the namespace, for setns and IFLA_NET_NS_FD. */
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** A new namespace, with its loopback up by default. Throws if the kernel refuses. */
  static make(options: { readonly loopback?: 'up' | 'down' } = {}): Namespace {
    const home = openCurrent();
    const outcome = calls().unshare(CLONE_NEWNET);
    if (outcome < 0) closeSync(home);
    check('unshare(CLONE_NEWNET)', outcome);
    try {
      const made = new Namespace(openCurrent());
      if (options.loopback !== 'down') setLinkUp(1);
      return made;
    } finally {
      check('setns', calls().setns(home, CLONE_NEWNET));
      closeSync(home);
    }
  }

  /** The namespace the main thread is in now. */
  static current(): Namespace {
    return new Namespace(openCurrent());
  }

  /** Runs a synchronous function inside; calls may nest. A server or client socket needs `stay`. */
  run<T>(body: () => T): T {
    using _entered = this.#enter();
    const result = body();
    if (result instanceof Promise)
      throw new TypeError('Namespace.run: the function is asynchronous; use stay()');
    return result;
  }

  /**
   * Stays inside until the promise settles: `listen(port, host)` and `connect` make their sockets a tick
   * later. The whole main thread is inside meanwhile, so stays never overlap.
   */
  async stay<T>(body: () => Promise<T>): Promise<T> {
    using _entered = this.#enter();
    return await body();
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }

  #enter(): Disposable {
    const before = openCurrent();
    check('setns', calls().setns(this.fd, CLONE_NEWNET));
    return {
      [Symbol.dispose]: () => {
        check('setns', calls().setns(before, CLONE_NEWNET));
        closeSync(before);
      },
    };
  }
}

/** Starts a program inside the namespace. */
export function spawnIn(
  namespace: Namespace,
  argv: readonly [string, ...string[]],
  options: SpawnOptions = {},
): ChildProcess {
  const [program, ...rest] = argv;
  return namespace.run(() => spawn(program, rest, options));
}

/** Ends a program that still runs, and waits for that. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

/** A table of 200,000 elements, as the oracles print it, is a tenth of this. */
const mostOutputBytes = 64 << 20;
/** Far longer than an oracle takes; this process stands still meanwhile, and its own limits with it. */
const limits = { maxBuffer: mostOutputBytes, timeout: patient(120_000) } as const;

/** Runs a program inside the namespace to its end, for the oracles (`nft`, `ip`, `conntrack`). */
export function runIn(
  namespace: Namespace,
  argv: readonly [string, ...string[]],
  input = '',
): SpawnSyncReturns<string> {
  const [program, ...rest] = argv;
  return namespace.run(() => spawnSync(program, rest, { ...limits, encoding: 'utf8', input }));
}

/**
 * Sets IFF_UP on a link of the current namespace; the loopback is index 1. 32 bytes by hand, no codec under
 * test.
 */
export function setLinkUp(index: number): void {
  const native = loadNative();
  const message = new Uint8Array(32);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint16(4, RTM_NEWLINK, true);
  view.setUint16(6, NLM_F_REQUEST_ACK, true);
  view.setInt32(20, index, true);
  view.setUint32(24, IFF_UP, true);
  view.setUint32(28, IFF_UP, true);
  const fd = check('socket', native.socket(16, 3, 0));
  const reply = native.submit(Operation.exchange, fd, message, 0, 0, 5_000_000);
  native.close(fd);
  if (!(reply instanceof Uint8Array)) throw new Error(`RTM_NEWLINK ${index}: no reply (${reply})`);
  check(`RTM_NEWLINK ${index}`, new DataView(reply.buffer).getInt32(16, true));
}

function calls(): NamespaceCalls {
  return createRequire(import.meta.url)('../build/namespaces.node') as NamespaceCalls;
}

function openCurrent(): number {
  return openSync('/proc/thread-self/ns/net', 'r');
}

function check(what: string, result: number): number {
  if (result >= 0) return result;
  throw new RefusedError(what, -result);
}
