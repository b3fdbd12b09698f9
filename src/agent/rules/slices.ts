// Splits many VIPs into slices that are committed one at a time.

import type { Address } from '../../state/address.ts';

/** VIPs per commit: with two ports each, 4,000 elements. */
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
