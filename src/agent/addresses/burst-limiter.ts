// Limits a sender to 64 frames every 5 ms: more at once would overflow the queues of switch processors.

const burstItems = 64;
const burstGapMs = 5;
/** How much lost time a delayed thread may catch up on. */
const makeUpMs = 20;

export interface BurstLimiterParts {
  /** Called after each burst. */
  readonly onSent?: () => void;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

export class BurstLimiter<Item> implements Disposable {
  readonly #send: (item: Item) => void;
  readonly #onSent: () => void;
  readonly #now: () => number;
  #waiting: Item[] = [];
  #urgent: Item[] = [];
  /** How many items may still be sent before the gap ends. */
  #left = burstItems;
  #gap: NodeJS.Timeout | undefined;
  /** When the gap ends; the next one counts from here, so that late timers do not slow the pace. */
  #dueMs = 0;

  /** Calls `send` with each item, at once while the burst has room. */
  constructor(
    send: (item: Item) => void,
    { onSent = () => {}, now = () => performance.now() }: BurstLimiterParts = {},
  ) {
    this.#send = send;
    this.#onSent = onSent;
    this.#now = now;
  }

  /** Urgent items are sent before all waiting ones. */
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
    const items = this.#urgent.splice(0, this.#left);
    items.push(...this.#waiting.splice(0, this.#left - items.length));
    this.#left -= items.length;
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
    this.#left = burstItems;
    const earliestMs = this.#now() - makeUpMs;
    if (this.#waiting.length + this.#urgent.length > 0)
      this.#wait(Math.max(this.#dueMs, earliestMs) + burstGapMs);
    this.#burst();
  }
}
