// The one diff of the project: what the kernel has against what it should have. Start-up, resync, repair and
// update differ only in where `have` comes from.

import type { Delta, KernelObject, KernelObjects } from './dialect.ts';

/** Objects that differ in content are removed and added. Foreign ones are never in the result. */
export function diff<O extends KernelObject>(have: KernelObjects<O>, want: KernelObjects<O>): Delta<O> {
  const remove: O[] = [];
  const add: O[] = [];
  if (have.constants !== want.constants) compare(have.constants, want.constants, remove, add);
  compare(have.elements, want.elements, remove, add);
  return { remove, add };
}

export function isEmpty(delta: Delta): boolean {
  return delta.remove.length === 0 && delta.add.length === 0;
}

function compare<O extends KernelObject>(
  have: readonly O[],
  want: readonly O[],
  remove: O[],
  add: O[],
): void {
  if (have.length === 0) {
    for (const object of want) add.push(object);
    return;
  }
  if (want.length === 0) {
    for (const object of have) if (!object.foreign) remove.push(object);
    return;
  }
  const left = new Map<string, O>();
  for (const object of have) {
    if (!object.foreign) left.set(object.id, object);
  }
  for (const object of want) {
    const known = left.get(object.id);
    if (known === undefined) {
      add.push(object);
    } else {
      left.delete(object.id);
      if (known.content !== object.content) {
        remove.push(known);
        add.push(object);
      }
    }
  }
  for (const object of left.values()) remove.push(object);
}
