// The term of a placement: who may say which node holds a VIP, in the order in which it was said.

/** `generation` rises whenever a controller begins to rule, `n` with each placement made in it. */
export interface Term {
  readonly generation: number;
  readonly n: number;
}

/** Negative if `a` is the older of the two. */
export function compareTerms(a: Term, b: Term): number {
  return a.generation - b.generation || a.n - b.n;
}

/**
 * How far a generation may be above the highest one known and still be believed: one is added whenever a
 * controller begins to rule.
 */
export const generationLeap = 1_000_000;

/**
 * A generation above this one is not heard from a node: a Lease counts its holders in 32 bits, and a node
 * that lies, a leap at a time, would leave none for those who come to rule after us.
 */
export const highestHeard: number = 2 ** 31 - 1 - generationLeap;
