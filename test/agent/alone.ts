// An agent process alone in an empty network namespace, without a controller.
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cannotUnshare, Namespace, runIn, spawnIn } from '../namespaces.ts';
import { until } from '../patience.ts';
import { program } from '../program.ts';

/** For tests that start agents. */
export const limit: { readonly skip: string | false; readonly timeout: number } = {
  skip: cannotUnshare(),
  timeout: 60_000,
};

export class Alone implements AsyncDisposable {
  readonly where: Namespace = Namespace.make();
  readonly folder: string = mkdtempSync(join(tmpdir(), 'vipward-alone-'));
  readonly #children: ChildProcess[] = [];
  /** Put before the command line of each agent, such as a tracer. */
  before: readonly string[] = [];

  /** Starts a process in this namespace; it does not outlive the test. */
  spawn(...argv: readonly [string, ...string[]]): ChildProcess {
    const child = spawnIn(this.where, argv, { timeout: 60_000, killSignal: 'SIGKILL' });
    this.#children.push(child);
    return child;
  }

  start(...more: readonly string[]): Started {
    const words = ['--node', 'node1', '--controller', 'ws://127.0.0.1:9470', '--allow', '10.77.0.0/24'];
    const state = ['--state', join(this.folder, `state${this.#children.length}`)];
    const argv = [...this.before, process.execPath, program, 'agent', ...words, ...state, ...more];
    return new Started(this.spawn(...(argv as [string, ...string[]])));
  }

  /** Runs a verb to its end and returns its exit code and output. */
  verb(...words: readonly string[]): { code: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = runIn(this.where, [process.execPath, program, ...words]);
    return { code: status, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    this.where[Symbol.dispose]();
    rmSync(this.folder, { recursive: true });
  }
}

export class Started {
  readonly child: ChildProcess;
  stderr = '';
  #stdout = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on('data', (part: Buffer) => {
      this.#stdout += `${part}`;
    });
    child.stderr?.on('data', (part: Buffer) => {
      this.stderr += `${part}`;
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The lines of its log with this event. */
  events(name: string): Record<string, unknown>[] {
    const lines = this.#stdout.split('\n').slice(0, -1);
    return lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ event }) => event === name);
  }

  /** Resolves once it has logged this event so many times; throws if it ends before that. */
  async says(name: string, times = 1): Promise<Record<string, unknown>> {
    const found = (): Record<string, unknown> | undefined => this.events(name)[times - 1];
    const words = (): string => `${this.#stdout}${this.stderr}`;
    await until(name, () => found() !== undefined || this.child.exitCode !== null, words);
    const said = found();
    if (said === undefined) throw new Error(`no ${name}: ${words()}`);
    return said;
  }

  /** Its exit code. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    return this.child.exitCode;
  }
}

/** Why no process of another user can be started here, or false. */
export function cannotChangeUser(): string | false {
  return spawnSync('setpriv', ['--reuid', '65534', 'true']).status === 0
    ? false
    : 'no process of another user can be started here';
}
