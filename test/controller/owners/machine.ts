// An agent without a socket: it has a kernel, does what it is told when a test says so, and says only what is
// true.

import { equal } from 'node:assert/strict';
import type { Session } from '../../../src/controller/sessions.ts';
import type { AgentMessage } from '../../../src/protocol/messages.ts';
import type { Address } from '../../../src/state/address.ts';
import type { Term } from '../../../src/state/term.ts';
import { hello, type Ruling } from '../ruling.ts';

const wire = { send: () => undefined, bufferedAmount: 0 };

export class Machine {
  readonly name: string;
  #ruling: Ruling;
  readonly kernel: Map<Address, Term> = new Map();
  readonly own: Set<Address> = new Set();
  readonly broken: Set<Address> = new Set();
  /** The placements that it has refused and not taken back. It refuses each one once. */
  readonly #refused = new Map<Address, Term | undefined>();
  session: Session | null = null;

  constructor(name: string, ruled: Ruling) {
    this.name = name;
    this.#ruling = ruled;
  }

  /** Another controller begins to rule: its streams of the former one are gone. */
  follow(ruled: Ruling): void {
    this.#ruling = ruled;
    this.session = null;
  }

  connect(): void {
    const { sessions } = this.#ruling;
    this.disconnect();
    this.session = sessions.open(hello(this.name, this.#held), wire);
    for (const key of this.own) this.#refuse('rules', key);
    for (const key of this.#refused.keys()) this.#refuse('placements', key);
    sessions.begin(this.session);
  }

  disconnect(): void {
    if (this.session !== null) this.#ruling.sessions.close(this.session);
    this.session = null;
  }

  ackRules(): void {
    const { rules } = this.#ruling.controller;
    for (const key of this.own) if (rules.get(key) !== undefined) this.#refuse('rules', key);
    this.#ack('rules');
  }

  /** Takes and lets go of addresses as it was told. */
  ackPlacements(): void {
    if (this.session === null || this.session.stream.sentSeq('placements') === null) return;
    const { placements } = this.session.node;
    for (const key of [...this.kernel.keys(), ...this.#refused.keys()].filter(
      (one) => !placements.get(one),
    )) {
      this.kernel.delete(key);
      this.#accept(key);
    }
    for (const key of [...placements.keys()]) {
      const placed = placements.get(key);
      if (placed === undefined || this.own.has(key)) continue;
      if (this.broken.has(key)) {
        if (this.#refused.get(key) !== placed.term) this.#refuse('placements', key);
        this.#refused.set(key, placed.term);
      } else {
        this.kernel.set(key, placed.term);
        this.#accept(key);
      }
    }
    this.#report();
    this.#ack('placements');
  }

  /** The node has the address for itself from now on, or no longer. */
  owns(key: Address, isOwn: boolean): void {
    if (isOwn) {
      this.own.add(key);
      this.kernel.delete(key);
      this.#refuse('rules', key);
      this.#report();
    } else if (this.own.delete(key)) this.#say({ type: 'accepted', table: 'rules', key });
  }

  /** The kernel of the node carries the address no more, and takes it no more. */
  breaks(key: Address): void {
    this.broken.add(key);
    if (!this.kernel.has(key)) return;
    this.#refuse('placements', key);
    this.#refused.set(key, this.kernel.get(key));
    this.kernel.delete(key);
    this.#report();
  }

  get #held() {
    return [...this.kernel].map(([address, term]) => ({ address, term }));
  }

  #refuse(table: 'rules' | 'placements', key: Address): void {
    const code = table === 'rules' ? 'AddressConflict' : 'KernelRefused';
    this.#say({ type: 'refused', table, key, services: [], code, reason: '' });
  }

  /** In force, or no longer wanted. */
  #accept(key: Address): void {
    if (this.#refused.delete(key)) this.#say({ type: 'accepted', table: 'placements', key });
  }

  #report(): void {
    this.#say({ type: 'held', vips: this.#held });
  }

  #ack(table: 'rules' | 'placements'): void {
    const seq = this.session?.stream.sentSeq(table) ?? null;
    if (seq !== null) this.#say({ type: 'ack', table, seq, commitUs: 1 });
  }

  #say(message: AgentMessage): void {
    if (this.session !== null) equal(this.#ruling.sessions.message(this.session, message), null);
  }
}
