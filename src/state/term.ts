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
