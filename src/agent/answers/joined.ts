// One reading of the kernel for all who ask while it is under way, or soon after.

/**
 * Calls `read` unless a call is under way, or has ended within `keepMs`: then that one's outcome is
 * everybody's.
 */
export function joined<Value>(read: () => Promise<Value>, keepMs = 0): () => Promise<Value> {
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
 * One question after the other, however many ask: a commit waits behind one of them. Resolves to undefined
 * where nobody waits for the answer any more when its turn comes.
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
