// A pause in the requests to a server, which can be lengthened.

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

  /** The pause lasts at least this long from now. */
  lengthen(ms: number): void {
    this.#untilMs = Math.max(this.#untilMs, performance.now() + ms);
    this.#arm();
  }

  /** Stops the timer: onOver is not called any more. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** A timer counts from the beginning of the event loop's turn, so that it may fire early. */
  #arm(): void {
    clearTimeout(this.#timer);
    const onTime = () => (this.isOver ? this.#onOver() : this.#arm());
    this.#timer = setTimeout(onTime, Math.ceil(this.#untilMs - performance.now())).unref();
  }
}
