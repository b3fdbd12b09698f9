// Accepts constant rules and sets from an agent of ours with other options: they still guard.

import type { Dialect, KernelObject } from '../../dialects/dialect.ts';
import type { Needs } from '../../state/desired-state.ts';

/**
 * The wanted constants. Where the kernel holds what an agent with other options would render (or, like it,
 * nothing), that counts as wanted.
 */
export function acceptedConstants(
  wanted: readonly KernelObject[],
  found: readonly KernelObject[],
  { siblings, needs }: { readonly siblings: readonly Dialect[]; readonly needs: Needs },
): KernelObject[] {
  const have = byId(found);
  const want = byId(wanted);
  const possible = siblings.map((dialect) => byId(dialect.render({ needs, vips: [], held: [] }).constants));
  const ids = new Set([...want.keys(), ...possible.flatMap((constants) => [...constants.keys()])]);
  return [...ids].flatMap((id) => {
    const made = possible.some((constants) => constants.get(id)?.content === have.get(id)?.content);
    return (made ? have : want).get(id) ?? [];
  });
}

function byId(constants: readonly KernelObject[]): Map<string, KernelObject> {
  return new Map(constants.map((object) => [object.id, object]));
}
