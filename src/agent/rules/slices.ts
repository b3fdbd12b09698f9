// Splits many VIPs into slices that are committed one at a time.

import type { Address } from '../../state/address.ts';

/** VIPs per commit: with two ports each, 1,000 elements. What a slice allocates is garbage soon after it. */
export const sliceVips = 250;

/** The keys in their order, up to sliceVips in each slice. */
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
