// A time in which nothing is asked of a server, which may come to last longer.

export class Pause {
  readonly #onOver: () => void;
  #untilMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  get isOver(): boolean {
    return performance.now() >= this.#untilMs;
  }

  /** From now on it lasts so long at least. */
  lengthen(ms: number): void {
    this.#untilMs = Math.max(this.#untilMs, performance.now() + ms);
    this.#arm();
  }

  /** Nothing comes of it any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** A timer counts from the beginning of its turn, so that it may come before the time that was meant. */
  #arm(): void {
    clearTimeout(this.#timer);
    const onTime = () => (this.isOver ? this.#onOver() : this.#arm());
    this.#timer = setTimeout(onTime, Math.ceil(this.#untilMs - performance.now())).unref();
  }
}
