// How long an agent waits before it tries a controller again. Pure.

/**
 * Backing off: the first ten seconds quickly, then slowly; always with full jitter, so that a fleet spreads
 * out.
 */
export const quickMs = 500;
const quickForMs = 10_000;
const slowMs = 5000;
/** After as many frames in a row that had to be refused: twice as long each time, up to this. */
const faultyMs = 60_000;

/** A controller that has come since is found within this time, also by streams that do not end. */
export const usualLookAgainMs = 30_000;

/** The longest pause; the next attempt comes at a random moment of it. */
export function longestPauseMs({ lostForMs, faults }: { lostForMs: number; faults: number }): number {
  const usualMs = lostForMs < quickForMs ? quickMs : slowMs;
  return Math.max(usualMs, Math.min(quickMs * 2 ** faults, faultyMs));
}
