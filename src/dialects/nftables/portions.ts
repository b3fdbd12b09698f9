// Elements in portions, since a listener makes the kernel queue 8 kB for each until commit.

import type { ElementObject } from './objects.ts';

/** More elements than this go in several batches. */
export const batchElements = 5000;

export interface Portion {
  readonly dropped: readonly ElementObject[];
  readonly added: readonly ElementObject[];
}

/** Cuts between VIPs only: what a VIP loses and what it gets are in one batch, whatever order a dump had. */
export function* portions({ dropped, added }: Portion): Generator<Portion> {
  if (dropped.length === 0) {
    yield* portionsOfNew(added);
    return;
  }
  const byOwner = new Map<string | null, { dropped: ElementObject[]; added: ElementObject[] }>();
  const of = (element: ElementObject): { dropped: ElementObject[]; added: ElementObject[] } => {
    const known = byOwner.get(element.owner);
    if (known !== undefined) return known;
    const fresh = { dropped: [], added: [] };
    byOwner.set(element.owner, fresh);
    return fresh;
  };
  for (const element of dropped) of(element).dropped.push(element);
  for (const element of added) of(element).added.push(element);
  let portion: { dropped: ElementObject[]; added: ElementObject[] } = { dropped: [], added: [] };
  for (const mine of byOwner.values()) {
    portion.dropped.push(...mine.dropped);
    portion.added.push(...mine.added);
    if (portion.dropped.length + portion.added.length < batchElements) continue;
    yield portion;
    portion = { dropped: [], added: [] };
  }
  if (portion.dropped.length + portion.added.length > 0) yield portion;
}

/** A cold load: the elements of one VIP stand together. */
function* portionsOfNew(added: readonly ElementObject[]): Generator<Portion> {
  for (let start = 0; start < added.length; ) {
    let end = Math.min(added.length, start + batchElements);
    while (end < added.length && added[end]?.owner === added[end - 1]?.owner) end++;
    yield { dropped: [], added: added.slice(start, end) };
    start = end;
  }
}
