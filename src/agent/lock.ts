// The lock that allows one agent per network namespace: an abstract Unix socket, which the kernel binds once
// and frees with its process. Any user may bind it, so the agent asks the kernel for the holder's uid, and
// there are spare names.

import { createServer, Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Native } from '../host/native.ts';
import { listenerOf, type Peer } from '../host/peer.ts';

/** An agent binds one of these names. All but the first are spares, for when another process has bound it. */
const names = ['', '.1', '.2', '.3', '.4', '.5', '.6', '.7'].map((suffix) => `vipward-agent${suffix}`);

/** Total time that a busy holder of a name gets to answer, before it counts as no agent. */
const patienceMs = 2000;
const askAgainMs = 50;

type Listener = ReturnType<typeof listenerOf>;

export class SecondAgentError extends Error {
  readonly code = 'SecondAgent';
  readonly holder: Peer;

  constructor(holder: Peer) {
    super(`another vipward agent runs here (${processOf(holder)}); end it first`);
    this.holder = holder;
  }
}

export interface Lock extends Disposable {
  /** Processes that hold a name and are no agent, with the remedy; empty on nearly every host. */
  readonly squatters: readonly string[];
}

/** The process, in words for a message. */
export function processOf({ pid }: Peer): string {
  return pid === 0 ? 'in another PID namespace' : `pid ${pid}`;
}

/** The agent of this network namespace: a listener whose uid is root's or our own. */
export async function lockHolder(native: Native, untilMs: number = soon()): Promise<Peer | undefined> {
  for (const name of names) {
    const other = await listenerIn(native, name, untilMs);
    if (isAgent(other)) return other;
  }
  return undefined;
}

/**
 * Takes the lock of this network namespace. Rejects with SecondAgentError, which names the holder. The agent
 * starts even if an unprivileged user holds every name; then only the owner flag of our nftables table keeps
 * a second agent out.
 */
export async function takeLock(native: Native): Promise<Lock> {
  const [squatters, untilMs]: [string[], number] = [[], soon()];
  const holder = await lockHolder(native, untilMs);
  if (holder !== undefined) throw new SecondAgentError(holder);
  for (const name of names) {
    const taken = await take(native, name, untilMs);
    if (taken instanceof Server) return { squatters, [Symbol.dispose]: () => taken.close() };
    if (isAgent(taken)) throw new SecondAgentError(taken);
    squatters.push(`@${name} is held by ${wordsFor(taken)}: end it`);
  }
  return { squatters, [Symbol.dispose]: () => undefined };
}

function soon(): number {
  return performance.now() + patienceMs;
}

/**
 * Binds a name, or returns its holder. Retries while the name is bound but has no listener: its holder has
 * not called listen() yet, or has ended.
 */
async function take(native: Native, name: string, untilMs: number): Promise<Server | Listener> {
  for (;;) {
    const server = await listenOn(name);
    if (server !== undefined) return server;
    const other = await listenerIn(native, name, untilMs);
    if (other !== undefined || performance.now() >= untilMs) return other;
    await sleep(askAgainMs);
  }
}

/** The listener of a name. Retries while its backlog is full, as that of a busy or stopped agent may be. */
async function listenerIn(native: Native, name: string, untilMs: number): Promise<Listener> {
  for (;;) {
    const other = listenerOf(native, name);
    if (other !== 'busy' || performance.now() >= untilMs) return other;
    await sleep(askAgainMs);
  }
}

function isAgent(peer: Listener): peer is Peer {
  return typeof peer === 'object' && (peer.uid === 0 || peer.uid === process.geteuid?.());
}

function wordsFor(peer: Listener): string {
  if (typeof peer === 'object') return `${processOf(peer)} of uid ${peer.uid}, which is not an agent`;
  return 'a process that does not answer ("ss -xap" names it)';
}

/** Undefined if the name is taken. */
async function listenOn(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.destroy();
  });
  const { promise, resolve, reject } = Promise.withResolvers<Server | undefined>();
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') resolve(undefined);
    else reject(error);
  });
  server.listen(`\0${name}`, () => resolve(server.unref()));
  return await promise;
}
