// Limits the log of refused tokens. Anybody may send a token, any number of times and with any text: neither
// the number of lines nor their length may depend on that.

import { shortReason } from '../../stream/refuse.ts';

/** The number of refusals since the last line, and the reason of the last refusal. */
export interface RefusedTokens {
  readonly count: number;
  readonly reason: string;
}

export interface TokenRefusalsInput {
  readonly say: (refused: RefusedTokens) => void;
  /** Least time between two lines. */
  readonly everyMs?: number;
}

const usualEveryMs = 60_000;

/** Logs the first refusal at once, and later how many followed. */
export class TokenRefusals {
  readonly #input: TokenRefusalsInput;
  #count = 0;
  #reason = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(input: TokenRefusalsInput) {
    this.#input = input;
  }

  readonly add = (reason: string): void => {
    this.#count++;
    this.#reason = shortReason(reason);
    if (this.#timer === undefined) this.#tell();
  };

  readonly #tell = (): void => {
    const { say, everyMs = usualEveryMs } = this.#input;
    this.#timer = undefined;
    if (this.#count === 0) return;
    say({ count: this.#count, reason: this.#reason });
    this.#count = 0;
    this.#timer = setTimeout(this.#tell, everyMs).unref();
  };
}
