// Admits one controller to a folder of records. Each controller listens on a socket in the folder, and the
// kernel answers connects while the process lives. Names are unique: removing a dead socket removes no live
// one.

import { randomBytes } from 'node:crypto';
import { readlinkSync, rmSync } from 'node:fs';
import { open, readdir, rename } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder } from '../../process/folder.ts';
import { StateError } from './records.ts';

/** Of controllers that start together, the first by name waits for the others to give up. */
const lookAgainMs = 50;
const mostLooks = 10;

/**
 * `controller-PID-NAMESPACE-RANDOM.lock`: a stopped process cannot be asked for its PID, so the name has it.
 */
const pattern = /^controller-(\d+)-(\d+)-[0-9a-f]+\.lock$/;

export interface Lock extends Disposable {
  /**
   * Why other processes cannot see this lock, for example on a file system without sockets; null if they can.
   */
  readonly problem: string | null;
}

/** Takes the lock on the records in `dir`. Throws StateError, which names the process that has it. */
export async function takeLock(dir: string): Promise<Lock> {
  const namespace = pidNamespace();
  const name = `controller-${process.pid}-${namespace}-${randomBytes(4).toString('hex')}.lock`;
  // The next write of the records reports a fault of the folder itself.
  const lock = await announce(dir, name).catch(notAnnounced);
  for (let looks = 1; ; looks++) {
    const other = await otherIn(dir, name);
    if (other === undefined) return lock;
    if (other < name || looks === mostLooks) {
      lock[Symbol.dispose]();
      const [, pid, where] = pattern.exec(other) ?? [];
      const who = where === namespace ? `pid ${pid}` : 'in another PID namespace';
      const remedy = 'end it first, or give this one a folder of its own';
      throw new StateError(`--state ${dir}: another vipward controller uses it (${who}); ${remedy}`);
    }
    await sleep(lookAgainMs);
  }
}

/**
 * Listens before it renames the socket to its final name: a socket of that name that does not answer is dead.
 */
async function announce(dir: string, name: string): Promise<Lock> {
  await makeFolder(dir, 0o755);
  await using folder = await open(dir, 'r');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.destroy();
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.on('error', reject);
  // Through /proc, since a socket path is limited to 107 bytes. Another user's process must be able to
  // connect.
  server.listen({ path: `/proc/self/fd/${folder.fd}/.${name}`, writableAll: true }, resolve).unref();
  await promise;
  await rename(join(dir, `.${name}`), join(dir, name));
  const dispose = () => {
    server.close();
    forget(join(dir, name));
  };
  return { problem: null, [Symbol.dispose]: dispose };
}

/** A socket that stays, as on a read-only disk, is dead; the next start removes it. */
function forget(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

function notAnnounced({ message }: Error): Lock {
  return { problem: message, [Symbol.dispose]: () => undefined };
}

/** The first live lock of another process, by name; removes dead ones. */
async function otherIn(dir: string, mine: string): Promise<string | undefined> {
  await using folder = await open(dir, 'r').catch(() => null);
  if (folder === null) return undefined;
  const names = await readdir(dir).catch(() => []);
  const others = names.filter((name) => pattern.test(name) && name !== mine);
  for (const name of others.sort()) {
    if (await lives(`/proc/self/fd/${folder.fd}/${name}`)) return name;
    forget(join(dir, name));
  }
  return undefined;
}

async function lives(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ path });
  socket.once('connect', () => resolve(true));
  socket.once('error', ({ code }: NodeJS.ErrnoException) =>
    resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'),
  );
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

/** The inode number of this process's PID namespace; 0 without /proc. */
function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}
