// What the fake kernel holds: tables with sets and chains, and the errors it answers with.
import type { FakeAttribute } from './bytes.ts';

export interface FakeSet {
  readonly name: string;
  readonly flags: number;
  readonly keyType: number;
  readonly keyLength: number;
  size: number;
  /** What a second declaration asked for; in force once the batch is committed. */
  nextSize: number;
  readonly counter: boolean;
  /** As it came. */
  readonly timeout: Uint8Array | undefined;
  /** Keys by their hex digits. */
  readonly elements: Map<string, Uint8Array>;
}

export interface FakeRule {
  /** Its list of expressions as it came. */
  readonly bytes: Uint8Array;
  /** What it refers to. */
  readonly sets: readonly string[];
  readonly chains: readonly string[];
}

export interface FakeChain {
  readonly name: string;
  /** Null of a chain that is only jumped to. */
  readonly hook: { readonly number: number; readonly priority: number; readonly policy: number } | null;
  readonly rules: FakeRule[];
}

export interface FakeTable {
  readonly family: number;
  readonly name: string;
  readonly flags: number;
  readonly comment: Uint8Array;
  owned: boolean;
  readonly sets: Map<string, FakeSet>;
  readonly chains: Map<string, FakeChain>;
}

export type FakeState = Map<string, FakeTable>;

/** What a message asks for, for whoever wants it refused. */
export interface FakeWish {
  readonly type: number;
  readonly name: string;
  readonly key: Uint8Array | null;
}

export type Refuse = (wish: FakeWish) => number | undefined;

export class Refusal extends Error {
  readonly errno: number;
  /** Where in the message the fault lies; below 0 where the kernel does not say. */
  readonly offset: number;

  constructor(errno: number, at?: FakeAttribute) {
    super(`errno ${errno}`);
    this.errno = errno;
    this.offset = at?.place ?? -1;
  }
}

export function copyState(state: FakeState): FakeState {
  const copy: FakeState = new Map();
  for (const [key, table] of state) {
    const sets = [...table.sets].map(
      ([name, set]) => [name, { ...set, elements: new Map(set.elements) }] as const,
    );
    const chains = [...table.chains].map(([name, chain]): [string, FakeChain] => [
      name,
      { ...chain, rules: [...chain.rules] },
    ]);
    copy.set(key, { ...table, sets: new Map(sets), chains: new Map(chains) });
  }
  return copy;
}

/** What takes effect only at commit. */
export function settle(state: FakeState): void {
  for (const table of state.values()) for (const set of table.sets.values()) set.size = set.nextSize;
}

export function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
