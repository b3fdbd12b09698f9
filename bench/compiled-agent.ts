// The agent as it is shipped: compiled, a process of its own, with the flag of the image. Its memory is
// read in /proc.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Namespace, spawnIn } from '../test/namespaces.ts';

const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** The ENTRYPOINT's flag: a small nursery is most of what keeps an agent under its limit of memory. */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=1'];

/** What it has now, or the most it ever had. */
export type Memory = 'VmRSS' | 'VmHWM';

export class CompiledAgent implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when the agent says that it serves, which it does before it has a controller. */
  static async start(namespace: Namespace, url: string, state: string): Promise<CompiledAgent> {
    const argv = ['--controller', url, '--node', 'bench', '--allow', '10.64.0.0/10', '--state', state];
    argv.push('--commit-interval', '0', '--listen', '127.0.0.1:0');
    const child = spawnIn(namespace, [process.execPath, ...nodeFlags, program, 'agent', ...argv], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // As in the image, without the checkout's cache of compiled code.
      env: {},
    });
    if (child.stdout === null) throw new Error('the agent has no standard output');
    const lines = createInterface({ input: child.stdout });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once('exit', (code) => reject(new Error(`the agent ended with ${code}`)));
    lines.on('line', (line) => {
      const { event } = JSON.parse(line) as { event?: string };
      if (event === 'serving') resolve();
    });
    await promise;
    return new CompiledAgent(child);
  }

  /** Megabytes, of 1,000,000 bytes. */
  memoryMb(which: Memory): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    const kib = new RegExp(`${which}:\\s*(\\d+) kB`).exec(status)?.[1];
    return Math.round((Number(kib) * 1024) / 100_000) / 10;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
