// The one diff of the project: what the kernel has against what it should have. Start-up, resync, repair and
// update differ only in where `have` comes from.

import type { Delta, KernelObject, KernelObjects } from './dialect.ts';

/**
 * Objects that differ in content are removed and added. Foreign ones are never in the result. Neither side
 * has an id of ours twice.
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
  if (have.length === 0) return { remove: nothing, add: want };
  if (want.length === 0) return { remove: have.filter(({ foreign }) => !foreign), add: nothing };
  // Both come in the same order from a render, so that nearly all of a VIP that changes is seen to be equal.
  const shorter = Math.min(have.length, want.length);
  let head = 0;
  while (head < shorter && isEqual(have[head], want[head])) head++;
  let tail = 0;
  while (tail < shorter - head && isEqual(have.at(-1 - tail), want.at(-1 - tail))) tail++;
  const left = new Map<string, O>();
  for (const object of have.slice(head, have.length - tail)) if (!object.foreign) left.set(object.id, object);
  const remove: O[] = [];
  const add: O[] = [];
  for (const object of want.slice(head, want.length - tail)) {
    const known = left.get(object.id);
    left.delete(object.id);
    if (known !== undefined && known.content === object.content) continue;
    if (known !== undefined) remove.push(known);
    add.push(object);
  }
  for (const object of left.values()) remove.push(object);
  return { remove, add };
}

const nothing: readonly never[] = [];

function isEqual(had: KernelObject | undefined, wanted: KernelObject | undefined): boolean {
  return had?.foreign === false && had.id === wanted?.id && had.content === wanted.content;
}
