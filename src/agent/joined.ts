// One reading of the kernel for all who ask while it is under way.

/** Calls `read` unless a call is under way: then that one's outcome is everybody's. */
export function joined<Value>(read: () => Promise<Value>): () => Promise<Value> {
  let underWay: Promise<Value> | undefined;
  return () => {
    underWay ??= read().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}
