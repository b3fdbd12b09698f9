// The term of a placement: it orders the decisions on which node holds a VIP.

/** `generation` rises whenever a controller takes office, `n` with each placement made in that generation. */
export interface Term {
  readonly generation: number;
  readonly n: number;
}

/** Negative if `a` is the older of the two. */
export function compareTerms(a: Term, b: Term): number {
  return a.generation - b.generation || a.n - b.n;
}

/**
 * The largest jump above the highest known generation that is believed. Each controller that takes office
 * adds only one.
 */
export const generationLeap = 1_000_000;

/**
 * The highest generation believed from a node. A Lease counts its holders in 32 bits; a lying node could
 * otherwise raise the generation jump by jump until none is left for later controllers.
 */
export const highestHeard: number = 2 ** 31 - 1 - generationLeap;
