// A program of a test, in a namespace of its own, that ends with the test however that ends.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { type Namespace, spawnIn } from '../namespaces.ts';

/** Started with its output in a file, so that a stalled reader never holds it up. */
export class Program implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #log: string;
  /** Where its part of the log begins. */
  readonly #begin: number;

  constructor(where: Namespace, argv: readonly [string, ...string[]], log: string) {
    const output = openSync(log, 'a');
    this.#begin = fstatSync(output).size;
    this.#child = spawnIn(where, argv, { stdio: ['ignore', output, output] });
    closeSync(output);
    this.#log = log;
    const kill = (): boolean => this.#child.kill('SIGKILL');
    process.once('exit', kill);
    this.#child.once('exit', () => process.off('exit', kill));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it wrote. */
  get all(): string {
    return readFileSync(this.#log).subarray(this.#begin).toString();
  }

  /** The end of what it wrote, for the message of a failure. */
  get words(): string {
    return readFileSync(this.#log, 'utf8').split('\n').slice(-30).join('\n');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it and waits for that. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end('SIGKILL');
  }
}
