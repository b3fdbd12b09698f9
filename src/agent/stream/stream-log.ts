// Logs one stream: a line when it opens, and one for each reason why it does not, however often it is tried.

import type { Log } from '../../process/log.ts';

/** A stream that comes and goes says why once in this time: neither side's words may fill the log. */
const sameReasonMs = 60_000;

export interface StreamLogInput {
  readonly url: string;
  readonly log: Log;
  readonly now: () => number;
}

export class StreamLog {
  readonly #input: StreamLogInput;
  /** When each reason of the last minute was logged. */
  readonly #saidMs = new Map<string, number>();
  /** What the last line said: a reason, or '' for an open stream. */
  #last: string | undefined;

  constructor(input: StreamLogInput) {
    this.#input = input;
  }

  /** The controller has said what only a controller says. */
  open(address: string | undefined): void {
    if (this.#last === '') return;
    this.#last = '';
    const { url, log } = this.#input;
    log.info({ url, address }, 'streamOpen');
  }

  /** The stream ended, or did not come about; the reason is never empty. */
  failed(reason: string, address: string | undefined): void {
    const { url, log, now } = this.#input;
    const nowMs = now();
    for (const [said, atMs] of this.#saidMs) if (nowMs - atMs >= sameReasonMs) this.#saidMs.delete(said);
    if (this.#last === reason || this.#saidMs.has(reason)) return;
    this.#last = reason;
    this.#saidMs.set(reason, nowMs);
    log.warn({ url, address, reason }, 'streamFailed');
  }

  /** Another line of the log says why it ended. */
  refused(reason: string): void {
    this.#last = reason;
  }
}
