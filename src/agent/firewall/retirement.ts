// Removes what another firewall of ours left in this kernel, once the one in use is complete. Runs in the
// background and retries until nothing is left.

import type { Log } from '../../process/log.ts';
import { messageOf } from '../../process/message-of.ts';
import { Backoff } from '../backoff.ts';

export interface RetirementParts {
  /** Removes it and resolves to descriptions of it. Rejects with the reason why something stays. */
  readonly retire: () => Promise<readonly string[]>;
  readonly log: Log;
}

export class Retirement implements Disposable {
  /** What stays, and why; empty if nothing does. */
  trouble = '';
  readonly #parts: RetirementParts;
  readonly #later = new Backoff({ firstMs: 1000, limitMs: 60_000 }, () => void this.#try());
  #begun = false;

  constructor(parts: RetirementParts) {
    this.#parts = parts;
  }

  /** Starts the removal; later calls do nothing. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    void this.#try();
  }

  [Symbol.dispose](): void {
    this.#later[Symbol.dispose]();
  }

  async #try(): Promise<void> {
    const { retire, log } = this.#parts;
    try {
      for (const words of await retire()) log.info({ words }, 'retired');
      this.trouble = '';
    } catch (error) {
      const reason = messageOf(error);
      if (this.trouble === '') log.warn({ reason }, 'notRetired');
      const what =
        'cannot remove the rules of the other firewall, which may drop ports declared since; retrying';
      this.trouble = `${what}: ${reason}; end the process that uses it`;
      this.#later.wait();
    }
  }
}
