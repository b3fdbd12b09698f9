// The child processes of the demo: controller, agent, and the holders of the client's and the backend's
// namespaces.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../settings.ts';
import type { PeerOrder, PeerReply, Sighting } from './peer.ts';

/** The input of the demo from main.ts. */
export interface DemoInput {
  readonly env: Environment;
  /** Aborted by the first SIGINT or SIGTERM; a second one changes nothing. */
  readonly signal: AbortSignal;
  /** The command line that runs this program. */
  readonly program: readonly string[];
}

/** The common settings of all children. */
export interface Launcher {
  /** The folder for logs and records. */
  readonly folder: string;
  readonly program: readonly string[];
  readonly env: Environment;
}

/** The descriptor of a pipe to the outer half; the pipe closes when no process of the demo has it open. */
export const lifeline = 4;
/** The time that a child gets to end by itself. */
const patienceMs = 3000;
/** The number of log lines shown after a process failed. */
const shownLines = 8;

/** A server of the demo; its log is a file in the demo's folder. */
export class Program {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;

  /** Starts `program` with these arguments. Its own session keeps Ctrl-C from it until the demo stops it. */
  constructor({ folder, program, env }: Launcher, words: readonly string[]) {
    this.name = words[0] ?? '';
    this.#logPath = join(folder, `${this.name}.log`);
    const log = openSync(this.#logPath, 'a');
    const [node = '', ...rest] = program;
    this.#child = spawn(node, [...rest, ...words], {
      stdio: ['ignore', log, log, 'ipc', lifeline],
      detached: true,
      env: withoutOurs(env),
    });
    closeSync(log);
    this.#child.on('error', () => undefined);
  }

  /** Throws with the end of its log if it no longer runs. */
  check(): void {
    const { exitCode, signalCode, pid } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) return;
    const lines = readFileSync(this.#logPath, 'utf8').trimEnd().split('\n').slice(-shownLines);
    throw new Error(
      `the ${this.name} ended with ${exitCode ?? signalCode}; its last output:\n${lines.join('\n')}`,
    );
  }

  async stop(): Promise<void> {
    await stopChild(this.#child);
  }
}

/** A process in a network namespace of its own that executes orders. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: PeerReply) => void>();
  #id = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts a peer; resolves once it runs in its namespace. */
  static async start({ program, env }: Launcher): Promise<Peer> {
    const child = spawn('unshare', ['-n', ...program, 'demo-peer'], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', lifeline],
      detached: true,
      env: withoutOurs(env),
    });
    const peer = new Peer(child);
    const ready = peer.#replyTo(0);
    child.on('message', (reply: PeerReply) => peer.#waiting.get(reply.id)?.(reply));
    const failed = (why: string) => {
      for (const [id, resolve] of peer.#waiting) resolve({ id, error: why });
    };
    child.on('error', (error) => failed(`unshare: ${error.message}`));
    child.on('exit', (code, signal) => failed(`a namespace's process ended with ${code ?? signal}`));
    await ready;
    return peer;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Rejects with the error of the peer. */
  async tell(order: PeerOrder): Promise<Sighting | undefined> {
    const id = ++this.#id;
    const reply = this.#replyTo(id);
    this.#child.send({ id, order });
    return await reply;
  }

  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await stopChild(this.#child);
  }

  #replyTo(id: number): Promise<Sighting | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Sighting | undefined>();
    this.#waiting.set(id, ({ sighting, error }) => {
      this.#waiting.delete(id);
      if (error === undefined) resolve(sighting);
      else reject(new Error(error));
    });
    return promise;
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  await promise;
  clearTimeout(timer);
}

/** The user's own VIPWARD_* variables concern another vipward. */
function withoutOurs(env: Environment): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('VIPWARD_')));
}
