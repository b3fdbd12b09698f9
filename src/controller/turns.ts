// Runs long work in turns, so that agents are heard, the Lease is renewed and timers fire on time however
// much there is to do.

/** How long one turn takes. Its last step may exceed this. */
const turnMs = 4;
/** The least number of steps in a turn, however slow the machine: a few Services are handled at once. */
const usualSteps = 32;

export interface TurnsInput {
  /** Called before the first step of each turn. */
  readonly begin?: () => void;
  /** Called after the last step. */
  readonly done?: () => void;
  /** Called at the end of each turn but the last. */
  readonly pause?: () => void;
  /** The least number of steps in a turn; small if steps are long. */
  readonly leastSteps?: number;
}

const nothing = () => undefined;

/** Runs a generator to its end: at once if one turn is enough. */
export function inTurns(steps: Iterator<void, void>, input: TurnsInput = {}): void {
  const { begin = nothing, done = nothing, pause = nothing, leastSteps = usualSteps } = input;
  begin();
  const endMs = performance.now() + turnMs;
  for (let step = 0; step < leastSteps || performance.now() < endMs; step++) {
    if (steps.next().done !== true) continue;
    done();
    return;
  }
  setImmediate(() => inTurns(steps, input));
  pause();
}

export interface QueueInput extends TurnsInput {
  /**
   * The queue starts in a later turn than add(). If looks are long and many messages of one turn call add(),
   * each call could otherwise run a turn of its own in it.
   */
  readonly isLater?: boolean;
}

/** Looks at each key once, in turns; keys added meanwhile come last. */
export class TurnQueue<Key> {
  readonly #look: (key: Key) => void;
  readonly #turns: TurnsInput;
  readonly #waiting = new Set<Key>();
  readonly #isLater: boolean;
  #isRunning = false;

  /** `done` is called whenever the queue is empty. */
  constructor(look: (key: Key) => void, { isLater = false, ...turns }: QueueInput = {}) {
    this.#look = look;
    this.#turns = turns;
    this.#isLater = isLater;
  }

  add(keys: Iterable<Key>): void {
    for (const key of keys) this.#waiting.add(key);
    if (this.#isRunning || this.#waiting.size === 0) return;
    this.#isRunning = true;
    if (this.#isLater) setImmediate(() => inTurns(this.#steps(), this.#turns));
    else inTurns(this.#steps(), this.#turns);
  }

  *#steps(): Generator<void, void> {
    // A look that throws ends these steps; the keys left wait for the next add().
    try {
      for (const key of this.#waiting) {
        this.#waiting.delete(key);
        this.#look(key);
        yield;
      }
    } finally {
      this.#isRunning = false;
    }
  }
}
