// Many VIPs, some at a time, on the way of their rules into the kernel.

import type { Address } from '../../state/address.ts';

/** How many VIPs are committed at once: with two ports each they are 4,000 elements. */
export const sliceVips = 1000;

export function* slices(keys: Iterable<Address>): Generator<Set<Address>> {
  let slice = new Set<Address>();
  for (const key of keys) {
    slice.add(key);
    if (slice.size < sliceVips) continue;
    yield slice;
    slice = new Set();
  }
  if (slice.size > 0) yield slice;
}
