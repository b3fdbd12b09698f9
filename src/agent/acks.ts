// What the controller still waits to hear: of each table the last number that a pass has taken, said once
// everything up to it is in force or refused by name, and no address that has to go is left.

import type { Ack, TableName } from '../protocol/messages.ts';
import type { Change } from './received.ts';

/** No frame has this number. */
const none = -1;

/** Of one table, and when each came. Changed in place, for changes come often. */
class Numbers {
  received = none;
  receivedAtMs = 0;
  taken = none;
  takenAtMs = 0;

  take(): void {
    if (this.received === none) return;
    this.taken = this.received;
    this.takenAtMs = this.receivedAtMs;
    this.received = none;
  }

  putBack(): void {
    if (this.received === none) [this.received, this.receivedAtMs] = [this.taken, this.takenAtMs];
    this.taken = none;
  }
}

export class Acks {
  #rules = new Numbers();
  #placements = new Numbers();
  readonly #send: (ack: Ack) => void;
  readonly #nowMs: () => number;

  constructor(send: (ack: Ack) => void, nowMs: () => number) {
    this.#send = send;
    this.#nowMs = nowMs;
  }

  add({ table, seq, receivedAtMs }: Change): void {
    const numbers = this.#of(table);
    numbers.received = seq;
    numbers.receivedAtMs = receivedAtMs;
  }

  /** A pass has begun that is about everything received so far. */
  take(): void {
    this.#rules.take();
    this.#placements.take();
  }

  /** Something that the pass has taken is neither in force nor refused: it is for the next one. */
  putBack(): void {
    this.#rules.putBack();
    this.#placements.putBack();
  }

  /** Another stream rules: the numbers so far mean nothing on it. */
  restart(): void {
    this.#rules = new Numbers();
    this.#placements = new Numbers();
  }

  /** Everything of the table that passes have taken is in force, or refused by name. */
  settle(table: TableName): void {
    const numbers = this.#of(table);
    const { taken: seq, takenAtMs } = numbers;
    if (seq === none) return;
    numbers.taken = none;
    this.#send({ type: 'ack', table, seq, commitUs: Math.round((this.#nowMs() - takenAtMs) * 1000) });
  }

  #of(table: TableName): Numbers {
    return table === 'rules' ? this.#rules : this.#placements;
  }
}
