// Replies to dumps -> our sets, elements and tables, in the shape that render() makes, so that a diff can
// compare them.

import { noBytes } from '../../netlink/reader.ts';
import type { Needs } from '../../state/desired-state.ts';
import type { KernelObjects } from '../dialect.ts';
import { matchesOf } from './blob.ts';
import { chainNames, type SetKind, setName } from './constants.ts';
import { setNames } from './dumps.ts';
import { shapeOf } from './families.ts';
import type { SetObject, TableObject, XtObject } from './objects.ts';
import { readElements, readSets } from './read-sets.ts';
import { readTables } from './read-table.ts';

export function decode(replies: readonly Uint8Array[]): KernelObjects<XtObject> {
  const [heads = noBytes, ...rest] = replies;
  const sets = readSets(heads);
  const elements = setNames.flatMap((_, index) => [...readElements(rest[index] ?? noBytes, sets)]);
  const tables = readTables(heads, rest.slice(setNames.length));
  return { constants: [...sets.values(), ...tables], elements, needs: needsOf(sets, tables) };
}

/** The needs that the found sets and rules serve; null if there are none. */
function needsOf(sets: ReadonlyMap<string, SetObject>, tables: readonly TableObject[]): Needs | null {
  const size = (kind: SetKind, family: 4 | 6): number => sets.get(setName(kind, family))?.size ?? 0;
  if (size('vip', 4) === 0 && size('vip', 6) === 0) return null;
  return {
    sourceLengths4: [],
    sourceLengths6: [],
    // Its sets alone may be there: they come before the rules, and a table may not be written then.
    egress: tables.some(({ chains }) => chains.some(({ name }) => name === chainNames.egress)),
    forward: tables.some(judgesReplies),
    capacities: {
      vips4: size('vip', 4),
      vips6: size('vip', 6),
      ports4: size('allow', 4),
      ports6: size('allow', 6),
      sources4: size('src', 4),
      sources6: size('src', 6),
    },
  };
}

/** Whether the input chains accept answers by their conntrack direction. */
function judgesReplies({ family, chains }: TableObject): boolean {
  const inputs = chains.filter(({ name }) => name === chainNames.input || name === chainNames.inputPorts);
  const rules = inputs.flatMap((chain) => chain.rules);
  return rules.some(({ bytes }) =>
    matchesOf(shapeOf(family), bytes).some(({ name }) => name === 'conntrack'),
  );
}
