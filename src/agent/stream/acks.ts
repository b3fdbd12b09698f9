// The acks that the controller waits for. A table's last number taken by a pass is acked once everything up
// to it is in force or refused by name, and no address remains that has to go.

import type { Ack, TableName } from '../../protocol/messages.ts';
import type { Change } from './received-table.ts';

/** No frame has this number. */
const none = -1;

/** The sequence numbers of one table, with arrival times. Mutable, because changes are frequent. */
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

/** Arrivals of VIPs: `begun` have started, and the first `over` of them have ended. */
export interface Progress {
  readonly begun: number;
  readonly over: number;
}

/** A number to ack once the first `begun` arrivals have ended. */
interface Waiting {
  readonly seq: number;
  readonly takenAtMs: number;
  readonly begun: number;
}

export class Acks {
  #rules = new Numbers();
  #placements = new Numbers();
  /** The oldest and the newest number of placements: the newest ack covers those between. */
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

  /** A pass begins that covers everything received so far. */
  take(): void {
    this.#rules.take();
    this.#placements.take();
  }

  /** The pass left something neither in force nor refused: the next pass acks it. */
  putBack(): void {
    this.#rules.putBack();
    this.#placements.putBack();
  }

  /** Another stream rules, with sequence numbers of its own. */
  restart(): void {
    this.#rules = new Numbers();
    this.#placements = new Numbers();
    this.#waiting = [];
  }

  /**
   * Everything that passes took is in force or refused by name, except VIPs that are still arriving. Arrivals
   * that begin later delay no ack.
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

  /** The first `over` arrivals have ended. */
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
