// Elements in portions, since a listener makes the kernel queue 8 kB for each until commit.

import type { ElementObject } from './objects.ts';

/** More elements than this go in several batches. */
export const batchElements = 5000;

/** Elements of one VIP that stand together stay together. */
export function* portions(elements: readonly ElementObject[]): Generator<readonly ElementObject[]> {
  for (let start = 0; start < elements.length; ) {
    let end = Math.min(elements.length, start + batchElements);
    while (end < elements.length && elements[end]?.owner === elements[end - 1]?.owner) end++;
    yield elements.slice(start, end);
    start = end;
  }
}
