// Requests from one process of a benchmark to another, over the channel of node:child_process.

import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Namespace, spawnIn } from '../../test/namespaces.ts';

/** The questions that a process answers, by name; argument and answer are JSON. */
export type Answers<Self> = {
  readonly [Name in keyof Self]: (given: never) => unknown;
};

interface Question {
  readonly id: number;
  readonly name: string;
  readonly given: unknown;
}

interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly failure?: string;
}

/** Answers the questions of the parent until that is gone. */
export function answerParent<Self extends Answers<Self>>(answers: Self): void {
  process.on('message', async ({ id, name, given }: Question) => {
    try {
      process.send?.({ id, answer: await answers[name as keyof Self](given as never) });
    } catch (error) {
      process.send?.({ id, failure: String(error) });
    }
  });
  process.once('disconnect', () => process.exit());
}

/** A program of the benchmark in a namespace, which can be asked its questions. */
export class Asked<Self extends Answers<Self>> implements Disposable {
  readonly #child: ChildProcess;
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 0;

  constructor(where: Namespace, file: string) {
    const program = fileURLToPath(new URL(file, import.meta.url));
    this.#child = spawnIn(where, [process.execPath, program], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', ({ id, answer, failure }: Reply) => {
      const waiting = this.#open.get(id);
      this.#open.delete(id);
      if (failure === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(`${file}: ${failure}`));
    });
    this.#child.on('exit', (code) => {
      for (const { reject } of this.#open.values()) reject(new Error(`${file} ended with ${code}`));
    });
  }

  ask<Name extends keyof Self & string>(
    name: Name,
    ...given: Parameters<Self[Name]>
  ): Promise<Awaited<ReturnType<Self[Name]>>> {
    const waiting = Promise.withResolvers<unknown>();
    this.#open.set(this.#next, waiting);
    this.#child.send({ id: this.#next++, name, given: given[0] } satisfies Question);
    return waiting.promise as Promise<Awaited<ReturnType<Self[Name]>>>;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
