// Logs repairs of the kernel: at once, or for ten seconds together while another program undoes them.

import type { Log } from '../process/log.ts';

/** Least time between two lines of one kind. */
const everyMs = 10_000;

export class RepairLog {
  readonly #log: Log;
  /** The objects repaired since the last line of their kind. */
  readonly #since = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  add(kind: string, objects: number): void {
    const before = this.#since.get(kind);
    if (before === undefined) this.#say(kind, objects);
    else this.#since.set(kind, before + objects);
    this.#timer ??= setTimeout(this.#tell, everyMs).unref();
  }

  #say(kind: string, objects: number): void {
    this.#since.set(kind, 0);
    this.#log.info({ kind, objects }, 'reconciled');
  }

  readonly #tell = (): void => {
    for (const [kind, objects] of this.#since) {
      if (objects === 0) this.#since.delete(kind);
      else this.#say(kind, objects);
    }
    this.#timer = this.#since.size === 0 ? undefined : setTimeout(this.#tell, everyMs).unref();
  };
}
