// The child processes of the demo: controller, agent, and the holders of the client's and the backend's
// namespaces.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../settings.ts';
import type { PeerOrder, PeerReply, Sighting } from './peer.ts';

/** What the demo is given by main.ts. */
export interface DemoInput {
  readonly env: Environment;
  /** Aborted by the first SIGINT or SIGTERM; a second one changes nothing. */
  readonly signal: AbortSignal;
  /** The command line that runs this program. */
  readonly program: readonly string[];
}

/** What every child is started with. */
export interface Launcher {
  /** Where logs and records go. */
  readonly folder: string;
  readonly program: readonly string[];
  readonly env: Environment;
}

/** The descriptor of a pipe to whoever started the demo: it ends when nobody of the demo has it any more. */
export const lifeline = 4;
/** How long a child may take to end by itself. */
const patienceMs = 3000;
/** The last lines of a log that are shown when its process failed. */
const shownLines = 8;

/** A server of the demo; its log goes to a file of the demo's folder. */
export class Program {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;

  /**
   * Starts `program` with words. It gets a session of its own, so that Ctrl-C does not reach it before its
   * turn.
   */
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

  /** Throws with the end of its log if it is not running any more. */
  check(): void {
    const { exitCode, signalCode, pid } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) return;
    const lines = readFileSync(this.#logPath, 'utf8').trimEnd().split('\n').slice(-shownLines);
    throw new Error(
      `the ${this.name} ended with ${exitCode ?? signalCode}; its last words:\n${lines.join('\n')}`,
    );
  }

  async stop(): Promise<void> {
    await stopChild(this.#child);
  }
}

/** A process in a network namespace of its own that does as it is told. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: PeerReply) => void>();
  #id = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts one; resolves once it lives in its namespace. */
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

  /** Rejects with the error that the other side met. */
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

/** The user's own VIPWARD_* variables are about another vipward. */
function withoutOurs(env: Environment): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('VIPWARD_')));
}
