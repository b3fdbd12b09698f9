// Long work, a step at a time: after a while others have their turn, so that agents are heard, a Lease is
// renewed and timers fire on time however much there is to do.

/** How long one turn takes, but for the step that is the last of it. */
const turnMs = 10;
/** A turn takes as many steps, however slow the machine: what a few Services ask for is done at once. */
const leastSteps = 32;

/**
 * Takes the steps of a generator to their end, then calls `done`: at once where one turn is enough. Each
 * other turn ends with `pause`.
 */
export function inTurns(
  steps: Iterator<void, void>,
  done: () => void = () => undefined,
  pause: () => void = () => undefined,
): void {
  const endMs = performance.now() + turnMs;
  for (let step = 0; step < leastSteps || performance.now() < endMs; step++) {
    if (steps.next().done !== true) continue;
    done();
    return;
  }
  setImmediate(() => inTurns(steps, done, pause));
  pause();
}

/** What is to be looked at, each once, in turns; what is added meanwhile comes last. */
export class TurnQueue<Key> {
  readonly #look: (key: Key) => void;
  readonly #done: () => void;
  readonly #waiting = new Set<Key>();
  #isRunning = false;

  /** `done` is called at the end of each turn: what was decided in it goes on. */
  constructor(look: (key: Key) => void, done: () => void) {
    this.#look = look;
    this.#done = done;
  }

  add(keys: Iterable<Key>): void {
    for (const key of keys) this.#waiting.add(key);
    if (this.#isRunning) return;
    this.#isRunning = true;
    inTurns(this.#steps(), this.#done, this.#done);
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
