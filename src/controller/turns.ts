// Long work, a step at a time: after a while others have their turn, so that agents are heard, a Lease is
// renewed and timers fire on time however much there is to do.

/** How long one turn takes, but for the step that is the last of it. */
const turnMs = 4;
/** A turn takes as many steps, however slow the machine: what a few Services ask for is done at once. */
const usualSteps = 32;

export interface TurnsInput {
  /** Called before the first step of each turn. */
  readonly begin?: () => void;
  /** Called after the last step. */
  readonly done?: () => void;
  /** Called at the end of each other turn. */
  readonly pause?: () => void;
  /** Steps that a turn has at least: few where each is long. */
  readonly leastSteps?: number;
}

const nothing = () => undefined;

/** Takes the steps of a generator to their end: at once where one turn is enough. */
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
   * Nothing is looked at in the turn in which it is added. Where looks are long and many who add are heard in
   * one turn, each of these would begin a turn of its own in it.
   */
  readonly isLater?: boolean;
}

/** What is to be looked at, each once, in turns; what is added meanwhile comes last. */
export class TurnQueue<Key> {
  readonly #look: (key: Key) => void;
  readonly #turns: TurnsInput;
  readonly #waiting = new Set<Key>();
  readonly #isLater: boolean;
  #isRunning = false;

  /** `done` is called whenever nothing is left to be looked at. */
  constructor(look: (key: Key) => void, { isLater = false, ...turns }: QueueInput = {}) {
    this.#look = look;
    this.#turns = turns;
    this.#isLater = isLater;
  }

  add(keys: Iterable<Key>): void {
    for (const key of keys) this.#waiting.add(key);
    if (this.#isRunning) return;
    this.#isRunning = true;
    if (this.#isLater) setImmediate(() => inTurns(this.#steps(), this.#turns));
    else inTurns(this.#steps(), this.#turns);
  }

  *#steps(): Generator<void, void> {
    // A look that throws ends these steps; what is left waits for whatever is added next.
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
