// What the controller still waits to hear: of each table the last number that a pass has taken, said once
// everything up to it is in force or refused by name, and no address that has to go is left.

import type { Ack, TableName } from '../../protocol/messages.ts';
import type { Change } from './received-table.ts';

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

/** VIPs on their way: how many have begun so far, and of those, from the first on, how many are over. */
export interface Progress {
  readonly begun: number;
  readonly over: number;
}

/** A number that is said when as many arrivals are over as had begun with it. */
interface Waiting {
  readonly seq: number;
  readonly takenAtMs: number;
  readonly begun: number;
}

export class Acks {
  #rules = new Numbers();
  #placements = new Numbers();
  /** Of placements the oldest number, and the newest: those between are said with it. */
  #waiting: Waiting[] = [];
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
    this.#waiting = [];
  }

  /**
   * Everything that passes have taken is in force, or refused by name, but for the VIPs that are still on
   * their way: those that come later hold up nothing.
   */
  settle({ begun, over }: Progress): void {
    const { taken: ofRules, takenAtMs: rulesTakenAtMs } = this.#rules;
    this.#rules.taken = none;
    if (ofRules !== none) this.#say('rules', ofRules, rulesTakenAtMs);
    const { taken: seq, takenAtMs } = this.#placements;
    this.#placements.taken = none;
    if (seq !== none) this.#waiting = [...this.#waiting.slice(0, 1), { seq, takenAtMs, begun }];
    this.arrive(over);
  }

  /** So many arrivals are over. */
  arrive(over: number): void {
    const due = this.#waiting.findLast(({ begun }) => begun <= over);
    if (due === undefined) return;
    this.#waiting = this.#waiting.filter(({ begun }) => begun > over);
    this.#say('placements', due.seq, due.takenAtMs);
  }

  #say(table: TableName, seq: number, takenAtMs: number): void {
    this.#send({ type: 'ack', table, seq, commitUs: Math.round((this.#nowMs() - takenAtMs) * 1000) });
  }

  #of(table: TableName): Numbers {
    return table === 'rules' ? this.#rules : this.#placements;
  }
}
