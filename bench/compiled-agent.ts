// The agent as it is shipped: compiled, in a process of its own, started as in the image.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Namespace, spawnIn } from '../test/namespaces.ts';
import { environment, nodeFlags } from './image.ts';
import { type Memory, memoryMb } from './memory.ts';

/** The product as it is built. */
export const compiled: string = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

export interface StartOptions {
  /** The folder of its state. */
  readonly state: string;
  /** More flags. */
  readonly more?: readonly string[];
}

export class CompiledAgent implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when the agent logs that it serves, which it does before it has a controller. */
  static async start(
    namespace: Namespace,
    url: string,
    { state, more = [] }: StartOptions,
  ): Promise<CompiledAgent> {
    const argv = ['--controller', url, '--node', 'bench', '--allow', '10.64.0.0/10', '--state', state];
    argv.push('--commit-interval', '0', '--listen', '127.0.0.1:0', ...more);
    const child = spawnIn(namespace, [process.execPath, ...nodeFlags, compiled, 'agent', ...argv], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // As in the image, without the checkout's cache of compiled code.
      env: environment,
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

  memoryMb(which: Memory): number {
    return memoryMb(this.#child.pid ?? 0, which);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
