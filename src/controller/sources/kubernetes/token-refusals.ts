// What is said of tokens that are refused. Anybody may come with one, as often as he likes and with any words
// in it: neither how much is said nor how long it is may be his to choose.

import { shortReason } from '../../stream/refuse.ts';

/** How many were refused since it was said before, and why the last one was. */
export interface RefusedTokens {
  readonly count: number;
  readonly reason: string;
}

export interface TokenRefusalsInput {
  readonly say: (refused: RefusedTokens) => void;
  /** The least time from one to the next. */
  readonly everyMs?: number;
}

const usualEveryMs = 60_000;

/** Says the first refusal at once, and of those that follow how many they are by then. */
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
