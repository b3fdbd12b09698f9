// What the controller still waits to hear: the last number of each table, said once everything up to it is in
// force or refused by name, and no address that has to go is left.

import type { Ack, TableName } from '../protocol/messages.ts';
import type { Change } from './received.ts';

export class Acks {
  readonly #pending = new Map<TableName, Pick<Change, 'seq' | 'receivedAtMs'>>();
  readonly #send: (ack: Ack) => void;
  readonly #nowMs: () => number;

  constructor(send: (ack: Ack) => void, nowMs: () => number) {
    this.#send = send;
    this.#nowMs = nowMs;
  }

  add({ table, seq, receivedAtMs }: Change): void {
    this.#pending.set(table, { seq, receivedAtMs });
  }

  /** Everything received of the table is in force, or refused by name. */
  settle(table: TableName): void {
    const pending = this.#pending.get(table);
    if (pending === undefined) return;
    this.#pending.delete(table);
    const commitUs = Math.round((this.#nowMs() - pending.receivedAtMs) * 1000);
    this.#send({ type: 'ack', table, seq: pending.seq, commitUs });
  }
}
