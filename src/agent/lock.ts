// One agent a host: an abstract socket, which the kernel binds once in a network namespace and frees with its
// process. Anybody may bind it, so that who has it is asked of the kernel, and there is more than one name.

import { createServer, Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Native } from '../host/native.ts';
import { listenerOf, type Peer } from '../host/peer.ts';

/** An agent has one of these. Beyond the first they are for hosts where somebody else has taken it. */
const names = ['', '.1', '.2', '.3', '.4', '.5', '.6', '.7'].map((suffix) => `vipward-agent${suffix}`);

/** How long somebody who does not answer at once may take in all, before that is held against him. */
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
  /** Who else has a name of ours and is no agent, with what to do; empty nearly everywhere. */
  readonly squatters: readonly string[];
}

/** What a person needs to find a process. */
export function processOf({ pid }: Peer): string {
  return pid === 0 ? 'in another PID namespace' : `pid ${pid}`;
}

/** The agent of this network namespace: a listener that belongs to root or to our own user. */
export async function lockHolder(native: Native, untilMs: number = soon()): Promise<Peer | undefined> {
  for (const name of names) {
    const other = await listenerIn(native, name, untilMs);
    if (isAgent(other)) return other;
  }
  return undefined;
}

/**
 * Takes the one place of an agent in this network namespace. Rejects with SecondAgentError, naming who has
 * it. A user without rights who holds every name keeps no agent from its work: what is left then against a
 * second one is the kernel's owner of the table.
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

/** The name itself, or who has it. One that was just taken is not listened on yet, or is free again. */
async function take(native: Native, name: string, untilMs: number): Promise<Server | Listener> {
  for (;;) {
    const server = await listenOn(name);
    if (server !== undefined) return server;
    const other = await listenerIn(native, name, untilMs);
    if (other !== undefined || performance.now() >= untilMs) return other;
    await sleep(askAgainMs);
  }
}

/** Who listens. An agent that is busy, or was stopped for a moment, has more callers than it has taken. */
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
  if (typeof peer === 'object') return `${processOf(peer)} of uid ${peer.uid}, which is no agent`;
  return 'a process that does not answer, whom "ss -xap" names';
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
