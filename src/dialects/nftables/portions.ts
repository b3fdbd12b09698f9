// Splits elements into portions, because with a listener the kernel queues 8 kB per element until the commit.

import type { ElementObject } from './objects.ts';

/** A change with more elements than this is split into several batches. */
export const batchElements = 5000;

export interface Portion {
  readonly dropped: readonly ElementObject[];
  readonly added: readonly ElementObject[];
}

/** Cuts between VIPs only: a VIP's removed and added elements share a batch, however a dump orders them. */
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

/** A cold load: the elements of a VIP are adjacent in `added`. */
function* portionsOfNew(added: readonly ElementObject[]): Generator<Portion> {
  for (let start = 0; start < added.length; ) {
    let end = Math.min(added.length, start + batchElements);
    while (end < added.length && added[end]?.owner === added[end - 1]?.owner) end++;
    yield { dropped: [], added: added.slice(start, end) };
    start = end;
  }
}
