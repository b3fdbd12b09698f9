// Frames beyond so many in one go overflow the queues of switch processors: what is to be sent waits for its
// turn.

const burstItems = 64;
const burstGapMs = 5;

export class Bursts<Item> implements Disposable {
  readonly #send: (item: Item) => void;
  #waiting: Item[] = [];
  /** How many may still be sent before the gap is over. */
  #room = burstItems;
  #gap: NodeJS.Timeout | undefined;

  /** `send` is called with each item, at once where there is room. */
  constructor(send: (item: Item) => void) {
    this.#send = send;
  }

  add(item: Item): void {
    this.#waiting.push(item);
    this.#burst();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#gap);
    this.#waiting = [];
  }

  #burst(): void {
    const items = this.#waiting.splice(0, this.#room);
    this.#room -= items.length;
    for (const item of items) this.#send(item);
    if (items.length > 0) this.#gap ??= setTimeout(() => this.#refill(), burstGapMs).unref();
  }

  #refill(): void {
    this.#gap = undefined;
    this.#room = burstItems;
    this.#burst();
  }
}
