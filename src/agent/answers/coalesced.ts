// One reading of the kernel for many requests: those that come while it runs, or soon after, share its
// outcome.

/** Calls `read`, unless a call is running or ended less than `keepMs` ago: then its outcome is shared. */
export function coalesced<Value>(read: () => Promise<Value>, keepMs = 0): () => Promise<Value> {
  let last: Promise<Value> | undefined;
  const forget = (): void => {
    last = undefined;
  };
  return () => {
    last ??= read().finally(() => {
      if (keepMs === 0) forget();
      else setTimeout(forget, keepMs).unref();
    });
    return last;
  };
}

/**
 * Runs one question at a time, so that a commit never waits behind more than one. Resolves to undefined if
 * the client has gone when its turn comes.
 */
export function oneByOne<Value>(): (
  hasGone: () => boolean,
  ask: () => Promise<Value>,
) => Promise<Value | undefined> {
  let last: Promise<unknown> = Promise.resolve();
  return (hasGone, ask) => {
    const answer = last.then(() => (hasGone() ? undefined : ask()));
    last = answer.catch(() => undefined);
    return answer;
  };
}
