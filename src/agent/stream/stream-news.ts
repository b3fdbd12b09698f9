// What the log has of one stream: a line when it opens, and one for each reason why it does not, however
// often it is tried.

import type { Log } from '../../process/log.ts';

/** A stream that comes and goes says why once in this time: neither side's words may fill the log. */
const sameReasonMs = 60_000;

export interface StreamNewsInput {
  readonly url: string;
  readonly log: Log;
  readonly now: () => number;
}

export class StreamNews {
  readonly #input: StreamNewsInput;
  /** When each reason was said, of the last minute. */
  readonly #saidMs = new Map<string, number>();
  /** What the log says of the stream by now: a reason, or that it is open. */
  #last: string | undefined;

  constructor(input: StreamNewsInput) {
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

  /** The log has another line for why it ended. */
  refused(reason: string): void {
    this.#last = reason;
  }
}
