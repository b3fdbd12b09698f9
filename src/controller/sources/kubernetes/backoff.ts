// How long to wait before the API server is asked again. Pure: randomness is a parameter.

/** Nobody waits longer than this by itself; a server that names a time is obeyed up to retryAfterMostMs. */
export const backoffMostMs = 2000;
const backoffLeastMs = 50;
const retryAfterMostMs = 60_000;

/**
 * The wait after a number of failures in a row, in milliseconds: doubled each time, and of that a random
 * part of at least half, so that those who failed together do not come back together. `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: number, mostMs: number = backoffMostMs): number {
  const most = Math.min(mostMs, backoffLeastMs * 2 ** Math.min(Math.max(0, failures - 1), 16));
  return most * (0.5 + random / 2);
}

/** The milliseconds that a Retry-After header asks for, in seconds or as a date; null if it asks nothing. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | null {
  if (header === undefined || header.trim() === '') return null;
  const text = header.trim();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.min(retryAfterMostMs, Math.max(0, ms));
}
