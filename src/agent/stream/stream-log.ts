// Logs one stream: a line when it opens, and one for each reason why it failed, however often it retries.

import type { Log } from '../../process/log.ts';

/** The same reason is logged once in this time, so that a flapping stream does not fill the log. */
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
  /** The reason in the last line, or '' for an open stream. */
  #last: string | undefined;

  constructor(input: StreamLogInput) {
    this.#input = input;
  }

  /** The other side has answered as only a controller does. */
  open(address: string | undefined): void {
    if (this.#last === '') return;
    this.#last = '';
    const { url, log } = this.#input;
    log.info({ url, address }, 'streamOpen');
  }

  /** The stream ended, or did not open; the reason is never empty. */
  failed(reason: string, address: string | undefined): void {
    const { url, log, now } = this.#input;
    const nowMs = now();
    for (const [said, atMs] of this.#saidMs) if (nowMs - atMs >= sameReasonMs) this.#saidMs.delete(said);
    if (this.#last === reason || this.#saidMs.has(reason)) return;
    this.#last = reason;
    this.#saidMs.set(reason, nowMs);
    log.warn({ url, address, reason }, 'streamFailed');
  }

  /** The stream ended for a reason that another log line tells. */
  refused(reason: string): void {
    this.#last = reason;
  }
}
