// Checks the generation of a controller against the one that the node has obeyed, and the terms of its
// placements against its generation.

import { FrameError } from '../../protocol/shape.ts';
import { generationLeap } from '../../state/term.ts';
import type { Placement } from '../../state/virtual-ip.ts';

/** Why a node that has obeyed a generation does not obey this one; undefined if it does. */
export function objectionTo(generation: number, { obeyed }: { obeyed: number }): string | undefined {
  if (generation < obeyed)
    return `generation: ${generation} is older than ${obeyed}, which this node has obeyed`;
  if (generation <= obeyed + generationLeap) return undefined;
  const why = `ImpossibleTerm: ${generation}, and this node has obeyed ${obeyed}`;
  return `generation: ${why}; check the controller's --state`;
}

/** A controller may place by its own generation and by earlier ones. Throws FrameError. */
export function checkTerms(placements: readonly Placement[], generation: number): void {
  for (const [index, { term }] of placements.entries()) {
    if (term.generation <= generation) continue;
    const got = `${term.generation} is above the controller's own, ${generation}`;
    throw new FrameError(`set[${index}].term.generation: ImpossibleTerm: ${got}`);
  }
}
