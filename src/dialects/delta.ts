// The only diff of the project: the kernel's objects against the wanted ones. Start-up, resync, repair and
// update differ only in the origin of `have`.

import type { Delta, KernelObject, KernelObjects } from './dialect.ts';

/**
 * An object whose content differs is both removed and added. The result never contains foreign objects.
 * Neither side may contain one of our ids twice.
 */
export function diff<O extends KernelObject>(have: KernelObjects<O>, want: KernelObjects<O>): Delta<O> {
  const elements = compare(have.elements, want.elements);
  if (have.constants === want.constants) return elements;
  const constants = compare(have.constants, want.constants);
  return {
    remove: [...constants.remove, ...elements.remove],
    add: [...constants.add, ...elements.add],
  };
}

export function isEmpty(delta: Delta): boolean {
  return delta.remove.length === 0 && delta.add.length === 0;
}

function compare<O extends KernelObject>(have: readonly O[], want: readonly O[]): Delta<O> {
  // A render keeps the order of a VIP's elements, so most elements of a changed VIP match from either end.
  const shorter = Math.min(have.length, want.length);
  let head = 0;
  while (head < shorter && isEqual(have[head], want[head])) head++;
  let tail = 0;
  while (tail < shorter - head && isEqual(have.at(-1 - tail), want.at(-1 - tail))) tail++;
  if (head + tail === 0) return compareUnlike(have, want);
  return compareUnlike(have.slice(head, have.length - tail), want.slice(head, want.length - tail));
}

/** Neither the first objects are equal nor the last. */
function compareUnlike<O extends KernelObject>(have: readonly O[], want: readonly O[]): Delta<O> {
  const isOneEach = have.length === 1 && want.length === 1;
  if (isOneEach || have.length === 0 || want.length === 0)
    return { remove: have.some(isForeign) ? have.filter(isOwn) : have, add: want };
  const left = new Map<string, O>();
  for (const object of have) if (isOwn(object)) left.set(object.id, object);
  const remove: O[] = [];
  const add: O[] = [];
  for (const object of want) {
    const known = left.get(object.id);
    left.delete(object.id);
    if (known !== undefined && known.content === object.content) continue;
    if (known !== undefined) remove.push(known);
    add.push(object);
  }
  for (const object of left.values()) remove.push(object);
  return { remove, add };
}

function isForeign({ foreign }: KernelObject): boolean {
  return foreign;
}

function isOwn({ foreign }: KernelObject): boolean {
  return !foreign;
}

function isEqual(had: KernelObject | undefined, wanted: KernelObject | undefined): boolean {
  if (had === undefined || wanted === undefined || had.foreign) return false;
  return had.equals?.(wanted) ?? (had.id === wanted.id && had.content === wanted.content);
}
