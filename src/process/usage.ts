// Wrong usage as an error that says what to type instead. Every command exits 2 on it.

/** Wrong usage: an unknown flag, a bad value, a combination that is refused. */
export class UsageError extends Error {
  readonly code = 'Usage';
  readonly exitCode = 2;
}
