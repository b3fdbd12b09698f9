// Issues the terms of placements, all in the generation by which this controller rules, and raises that above
// one that a node has obeyed.

import type { Hello } from '../protocol/messages.ts';
import { generationLeap, highestHeard, type Term } from '../state/term.ts';
import type { Welcomed } from './owners/welcomed.ts';

export interface TermsInput {
  /** Called when something that the records hold has changed. */
  readonly onChange: () => void;
  /** False while another controller may rule by a higher generation: ours is not raised then. */
  readonly mayRaise?: () => boolean;
  readonly nowMs: () => number;
}

/** How a generation that a node reports compares with ours. */
export type Heard = 'known' | 'raised' | 'tooSoon' | 'impossible';

/** A raise closes the streams of all nodes: for this long, no node can cause another. */
export const raisePauseMs = 10_000;

/** The last raise of our generation above one that a node had heard. */
export interface Raise {
  readonly from: number;
  readonly to: number;
  readonly node: string;
  readonly atMs: number;
}

export class Terms {
  /** The nodes that this generation has welcomed. */
  readonly welcomed: Welcomed;
  lastRaise: Raise | null = null;
  readonly #input: TermsInput;
  #generation: number;
  #n = 0;

  constructor(generation: number, welcomed: Welcomed, input: TermsInput) {
    this.#generation = generation;
    this.welcomed = welcomed;
    this.#input = input;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Makes a term above all that were issued. */
  readonly next = (): Term => ({ generation: this.#generation, n: ++this.#n });

  /** The highest term that was ever issued. */
  readonly highest = (): Term => ({ generation: this.#generation, n: this.#n });

  /** Begins to rule by this generation. No term was issued before. */
  rule(generation: number): void {
    this.#generation = generation;
  }

  /**
   * Compares the generation that a node has obeyed with ours. A higher one, or ours if the node was never
   * welcomed by it, is of a controller that ruled after our records (a backup) were made: ours is raised.
   */
  hear({ generation, node }: Pick<Hello, 'generation' | 'node'>): Heard {
    const heard = this.#compare(generation, node);
    if (heard === 'raised') this.#raise(generation + 1, node);
    if (heard === 'raised' || heard === 'known') this.welcomed.add(node);
    return heard;
  }

  #compare(heard: number, node: string): Heard {
    const { mayRaise, nowMs } = this.#input;
    const isOurs = heard === this.#generation && this.welcomed.has(node);
    if (heard < this.#generation || isOurs || mayRaise?.() === false) return 'known';
    if (heard > Math.min(this.#generation + generationLeap, highestHeard)) return 'impossible';
    const isSoon = this.lastRaise !== null && nowMs() - this.lastRaise.atMs < raisePauseMs;
    return isSoon ? 'tooSoon' : 'raised';
  }

  #raise(to: number, node: string): void {
    this.lastRaise = { from: this.#generation, to, node, atMs: this.#input.nowMs() };
    this.#generation = to;
    this.#n = 0;
    this.welcomed.clear();
    this.#input.onChange();
  }
}
