// Keeps the Lease, or waits for it, in one loop on its own connection. Callers ask `rules()` before they
// decide or write anything.

import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, hasCode } from './client.ts';
import {
  type LeaseRecord,
  type LeaseSelf,
  leaseObject,
  nextStep,
  readLease,
  type SeenLease,
  seeLease,
  wentBack,
} from './lease-record.ts';
import type { ConfirmInput } from './which-cluster.ts';

export interface ElectorInput {
  readonly client: ApiClient;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  /** Where agents reach this controller, or null. */
  readonly address: string | null;
  /** False: takes another controller's Lease at once. */
  readonly waits: boolean;
  readonly durationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** Rejects if the API server belongs to another cluster than before: the Lease is not written there. */
  readonly confirm: (input: ConfirmInput) => Promise<void>;
  /**
   * This process rules, by a generation that no controller had before; called once, never after onDeposed.
   */
  readonly onRule: (generation: number) => void;
  /**
   * A renewal succeeded after the deadline had passed without one, and no other controller ruled meanwhile.
   */
  readonly onResume: () => void;
  /** The Lease is older than before, or gone: etcd was restored, and earlier readings are void. */
  readonly onRestored: () => void;
  /** Another controller rules: this process must not decide anything any more. */
  readonly onDeposed: () => void;
  readonly onProblem: (message: string | null) => void;
}

/** Another process rules: this one cannot trust its state any more, and ends. */
export class DeposedError extends Error {
  readonly code = 'Deposed';

  constructor() {
    super('another controller holds the Lease: start this one again as a standby');
  }
}

export class Elector {
  readonly #input: ElectorInput;
  #seen: SeenLease | null = null;
  #isKnown = false;
  /** The Lease is not the one seen before: it comes from an older backup, or from another cluster. */
  #isDoubtful = false;
  #generation: number | null = null;
  /** The highest generation read in the Lease. */
  #known = 0;
  #takenWallMs = 0;
  #renewedMs = Number.NEGATIVE_INFINITY;
  #isDeposed = false;
  #problem: string | null = null;

  constructor(input: ElectorInput) {
    this.#input = input;
  }

  /** The record as it was last seen, for the status. */
  get record(): LeaseRecord | null {
    return this.#seen?.record ?? null;
  }

  get problem(): string | null {
    return this.#problem;
  }

  /** True while the last renewal is within the deadline, by the clock: a timer may be late. */
  rules(): boolean {
    const { renewDeadlineMs } = this.#input;
    const isFresh = performance.now() - this.#renewedMs < renewDeadlineMs;
    return this.#generation !== null && !this.#isDeposed && isFresh;
  }

  /** Raises our generation above one that an agent had heard of; the next renewal writes it. */
  raise(generation: number): void {
    if (this.#generation !== null) this.#generation = Math.max(this.#generation, generation);
  }

  /** Runs until the signal is aborted, then releases the Lease if this process holds it. */
  async run(): Promise<void> {
    const { signal, retryPeriodMs, random } = this.#input;
    while (!signal.aborted && !this.#isDeposed) {
      try {
        await this.#step(signal);
        this.#complain(null);
      } catch (error) {
        if (signal.aborted) this.#isKnown = false;
        else this.#failed(error as Error);
      }
      const waitMs = Math.min(retryPeriodMs * (1 + random() * 0.2), this.#leftMs());
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
    if (this.rules()) await this.#release();
  }

  async #step(signal: AbortSignal): Promise<void> {
    // The holder renews the Lease by its last known record. After a pause, or if another controller holds it,
    // read it first.
    if (!this.#isKnown || !this.rules()) await this.#look(signal);
    const nowMs =
      this.#input.waits || this.#generation !== null ? performance.now() : Number.POSITIVE_INFINITY;
    const step = nextStep(this.#seen, this.#self(), nowMs);
    switch (step.kind) {
      case 'wait':
        return;
      case 'deposed':
        this.#isDeposed = true;
        this.#input.onDeposed();
        return;
      case 'take':
        await this.#confirm(signal);
        this.#takenWallMs = Date.now();
        await this.#write(step.generation, this.#self(), signal);
        this.#generation = step.generation;
        this.#input.onRule(step.generation);
        return;
      case 'renew':
        if (this.#isDoubtful) await this.#confirm(signal);
        if (await this.#write(step.generation, this.#self(), signal)) this.#input.onResume();
        return;
      default:
        step satisfies never;
    }
  }

  /**
   * Time until another controller's Lease expires: a waiting controller asks at that moment, not a period
   * later.
   */
  #leftMs(): number {
    if (this.#generation !== null || this.#seen === null) return Number.POSITIVE_INFINITY;
    const { record, sinceMs } = this.#seen;
    const leftMs = sinceMs + record.durationMs - performance.now();
    // A timer may fire a little early. After the expiry the usual period applies.
    return leftMs > 0 ? leftMs + 1 : Number.POSITIVE_INFINITY;
  }

  #self(): LeaseSelf {
    const { identity, address, durationMs } = this.#input;
    return { identity, address, durationMs, generation: this.#generation, known: this.#known };
  }

  get #path(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#input.namespace}/leases`;
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { client, name, renewDeadlineMs: timeoutMs } = this.#input;
    try {
      const found = await client.json({ path: `${this.#path}/${name}`, signal, timeoutMs });
      this.#saw(seeLease(this.#seen, readLease(found), performance.now()));
    } catch (error) {
      if (!hasCode(error, 404)) throw error;
      this.#saw(null);
    }
    this.#isKnown = true;
  }

  #saw(now: SeenLease | null): void {
    const before = this.#seen;
    this.#seen = now;
    this.#known = Math.max(this.#known, now?.record.generation ?? 0);
    if (before === null || (now !== null && !wentBack(before.record, now.record))) return;
    this.#isDoubtful = true;
    this.#input.onRestored();
  }

  async #confirm(signal: AbortSignal): Promise<void> {
    await this.#input.confirm({ signal, timeoutMs: this.#input.renewDeadlineMs });
    this.#isDoubtful = false;
  }

  /**
   * True if this process rules by this write, and did not when the answer came. Rejects with 409 if the Lease
   * is not as last seen: another process wrote it, or the answer to our last write was lost.
   */
  async #write(generation: number, self: LeaseSelf, signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, renewDeadlineMs: timeoutMs } = this.#input;
    const before = this.#seen?.record ?? null;
    const takenWallMs = this.#takenWallMs;
    const wallMs = Date.now();
    const text = { namespace, name, self, generation, wallMs, takenWallMs, before };
    const startedMs = performance.now();
    const path = before === null ? this.#path : `${this.#path}/${name}`;
    const method = before === null ? 'POST' : 'PUT';
    const written = await client.json({ method, path, body: leaseObject(text), signal, timeoutMs });
    this.#seen = seeLease(this.#seen, readLease(written), startedMs);
    // A request that was sent in time may be answered late: rules() was false in between.
    const wasLate = !this.rules();
    // A renewal counts from its request: other controllers may have seen it from then on.
    this.#renewedMs = startedMs;
    return wasLate && this.rules();
  }

  #failed(error: Error): void {
    // After any failure the record may have changed.
    this.#isKnown = false;
    this.#complain(error.message);
  }

  #complain(problem: string | null): void {
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.#input.onProblem(problem);
  }

  async #release(): Promise<void> {
    const nobody = { ...this.#self(), identity: '', durationMs: 1000 };
    const signal = AbortSignal.timeout(2000);
    try {
      // A renewal that the abort cut off may have been written all the same.
      if (!this.#isKnown) await this.#look(signal);
      const { kind } = nextStep(this.#seen, this.#self(), performance.now());
      if (kind === 'renew') await this.#write(this.#generation ?? 0, nobody, signal);
    } catch (error) {
      this.#failed(error as Error);
    }
  }
}
