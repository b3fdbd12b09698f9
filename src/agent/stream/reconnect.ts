// How long an agent waits before it tries a controller again. Pure.

/** Backoff: short pauses in the first ten seconds, then long ones. Full jitter spreads a fleet out. */
export const quickMs = 500;
const quickForMs = 10_000;
export const slowMs = 5000;
/** The pause doubles with each refused frame in a row, up to this. */
const faultyMs = 60_000;

/** Within this time an agent whose streams stay open finds a new controller. */
export const usualLookAgainMs = 30_000;

/** The longest pause; the next attempt comes at a random moment within it. */
export function longestPauseMs({ lostForMs, faults }: { lostForMs: number; faults: number }): number {
  const usualMs = lostForMs < quickForMs ? quickMs : slowMs;
  return Math.max(usualMs, Math.min(quickMs * 2 ** faults, faultyMs));
}
