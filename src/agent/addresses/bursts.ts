// Frames beyond so many in one go overflow the queues of switch processors: what is to be sent waits for its
// turn.

const burstItems = 64;
const burstGapMs = 5;
/** A thread that was held up makes up for no more than this. */
const makeUpMs = 20;

export interface BurstsParts {
  /** Called behind each go. */
  readonly onSent?: () => void;
  /** A clock of milliseconds. */
  readonly now?: () => number;
}

export class Bursts<Item> implements Disposable {
  readonly #send: (item: Item) => void;
  readonly #onSent: () => void;
  readonly #now: () => number;
  #waiting: Item[] = [];
  #urgent: Item[] = [];
  /** How many may still be sent before the gap is over. */
  #room = burstItems;
  #gap: NodeJS.Timeout | undefined;
  /** When the gap is over: timers come late, the pace stays. */
  #dueMs = 0;

  /** `send` is called with each item, at once where there is room. */
  constructor(
    send: (item: Item) => void,
    { onSent = () => {}, now = () => performance.now() }: BurstsParts = {},
  ) {
    this.#send = send;
    this.#onSent = onSent;
    this.#now = now;
  }

  /** What is urgent goes before all that is not. */
  add(items: readonly Item[], isUrgent = false): void {
    const queue = isUrgent ? this.#urgent : this.#waiting;
    for (const item of items) queue.push(item);
    this.#burst();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#gap);
    this.#waiting = [];
    this.#urgent = [];
  }

  #burst(): void {
    const items = this.#urgent.splice(0, this.#room);
    items.push(...this.#waiting.splice(0, this.#room - items.length));
    this.#room -= items.length;
    for (const item of items) this.#send(item);
    if (items.length > 0 && this.#gap === undefined) this.#wait(this.#now() + burstGapMs);
    if (items.length > 0) this.#onSent();
  }

  #wait(dueMs: number): void {
    this.#dueMs = dueMs;
    const waitMs = Math.max(1, dueMs - this.#now());
    this.#gap = setTimeout(() => this.#refill(), waitMs).unref();
  }

  #refill(): void {
    this.#gap = undefined;
    this.#room = burstItems;
    const earliestMs = this.#now() - makeUpMs;
    if (this.#waiting.length + this.#urgent.length > 0)
      this.#wait(Math.max(this.#dueMs, earliestMs) + burstGapMs);
    this.#burst();
  }
}
