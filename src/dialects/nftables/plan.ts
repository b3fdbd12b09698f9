// A delta sorted by kind and by direction.

import type { Delta } from '../dialect.ts';
import type { ChainObject, ElementObject, NftObject, SetObject, TableObject } from './objects.ts';

export interface Plan {
  /** The old table is deleted with everything in it. */
  readonly goneTables: readonly TableObject[];
  readonly newTables: readonly TableObject[];
  readonly goneSets: readonly SetObject[];
  readonly newSets: readonly SetObject[];
  readonly goneChains: readonly ChainObject[];
  readonly newChains: readonly ChainObject[];
  readonly dropped: readonly ElementObject[];
  readonly added: readonly ElementObject[];
  /** Names of sets that a new set of the same name replaces; every rule that uses one is rewritten. */
  readonly replaced: ReadonlySet<string>;
}

export function planOf({ remove, add }: Delta<NftObject>): Plan {
  const of = <K extends NftObject['kind']>(objects: readonly NftObject[], kind: K) =>
    objects.filter((object): object is Extract<NftObject, { kind: K }> => object.kind === kind);
  const newTables = of(add, 'table');
  const goneTables = of(remove, 'table').filter((table) => newTables.every((other) => other.id !== table.id));
  const isNewTable = goneTables.length > 0;
  const goneSets = isNewTable ? [] : of(remove, 'set');
  const newSets = of(add, 'set');
  const names = new Set(goneSets.map((set) => set.name));
  return {
    goneTables,
    newTables,
    goneSets,
    newSets,
    goneChains: isNewTable ? [] : of(remove, 'chain'),
    newChains: of(add, 'chain'),
    dropped: isNewTable ? [] : of(remove, 'element').filter((element) => !names.has(element.set)),
    added: of(add, 'element'),
    replaced: new Set(newSets.map(({ name }) => name).filter((name) => names.has(name))),
  };
}

export function sameChain(a: ChainObject, b: ChainObject): boolean {
  return a.name === b.name && a.hook?.number === b.hook?.number && a.hook?.priority === b.hook?.priority;
}
