// One controller a folder of records: a socket in the folder, at which the kernel answers while its process
// lives. Each process has a name of its own: whoever takes a dead one away takes no other with it.

import { randomBytes } from 'node:crypto';
import { readlinkSync, rmSync } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder, StateError } from './records.ts';

/** Of those that start together the first by name waits for the others to give up. */
const lookAgainMs = 50;
const mostLooks = 10;

/** `controller-PID-NAMESPACE-RANDOM.lock`: who stands still cannot be asked who it is. */
const pattern = /^controller-(\d+)-(\d+)-[0-9a-f]+\.lock$/;

export interface Lock extends Disposable {
  /** Why others cannot know of this process, where the file system has no sockets for one. */
  readonly problem: string | null;
}

/** Takes the one place of a controller at these records. Throws StateError, naming who has it. */
export async function takeLock(dir: string): Promise<Lock> {
  const namespace = pidNamespace();
  const name = `controller-${process.pid}-${namespace}-${randomBytes(4).toString('hex')}.lock`;
  // What is wrong with the folder itself is said by the records that are written to it next.
  const lock = await announce(dir, name).catch((error: Error) => notAnnounced(error));
  for (let looks = 1; ; looks++) {
    const other = await otherIn(dir, name);
    if (other === undefined) return lock;
    if (other < name || looks === mostLooks) {
      lock[Symbol.dispose]();
      const [, pid, where] = pattern.exec(other) ?? [];
      const who = where === namespace ? `pid ${pid}` : 'in another PID namespace';
      const remedy = 'end it first, or give this one a folder of its own';
      throw new StateError(`--state ${dir}: another vipward controller runs on it (${who}); ${remedy}`);
    }
    await sleep(lookAgainMs);
  }
}

/** Listens, and only then has its name: one that does not answer there is dead, and not about to listen. */
async function announce(dir: string, name: string): Promise<Lock> {
  await makeFolder(dir);
  await using folder = await open(dir, 'r');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.destroy();
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.on('error', reject);
  // By way of /proc, since a socket's path may have 107 bytes. Another user's process must be able to ask.
  server.listen({ path: `/proc/self/fd/${folder.fd}/.${name}`, writableAll: true }, resolve).unref();
  await promise;
  await rename(join(dir, `.${name}`), join(dir, name));
  const dispose = () => {
    server.close();
    forget(join(dir, name));
  };
  return { problem: null, [Symbol.dispose]: dispose };
}

/** What is left behind is a dead name, and goes at the next start. */
function forget(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

function notAnnounced({ message }: Error): Lock {
  return { problem: message, [Symbol.dispose]: () => undefined };
}

/** The first by name of the others that live; the names of the dead are taken away. */
async function otherIn(dir: string, mine: string): Promise<string | undefined> {
  await using folder = await open(dir, 'r').catch(() => null);
  if (folder === null) return undefined;
  const others = (await readdir(dir)).filter((name) => pattern.test(name) && name !== mine);
  for (const name of others.sort()) {
    if (await lives(`/proc/self/fd/${folder.fd}/${name}`)) return name;
    await rm(join(dir, name), { force: true });
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

/** The number by which the kernel tells apart what a pid may mean; 0 without /proc. */
function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}
