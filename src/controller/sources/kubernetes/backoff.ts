// How long to wait before the API server is asked again. Pure: randomness is a parameter.

/** Longest wait that the controller chooses; a server's Retry-After is obeyed up to retryAfterMostMs. */
export const backoffMostMs = 2000;
const backoffLeastMs = 50;
const retryAfterMostMs = 60_000;

/**
 * The wait after a number of failures in a row, in milliseconds. It doubles each time, and a random part of
 * at least half is taken, so that clients that failed together do not retry together. `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: number, mostMs: number = backoffMostMs): number {
  const most = Math.min(mostMs, backoffLeastMs * 2 ** Math.min(Math.max(0, failures - 1), 16));
  return most * (0.5 + random / 2);
}

/** The milliseconds of a Retry-After header, which has seconds or a date; null if it has neither. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | null {
  if (header === undefined || header.trim() === '') return null;
  const text = header.trim();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.min(retryAfterMostMs, Math.max(0, ms));
}
