// A delta -> batches. One batch wherever that is possible, for the kernel commits a batch as a whole.

import type { Step } from '../../netlink/ack.ts';
import type { Delta, Transaction } from '../dialect.ts';
import { Batch, type SetOptions } from './batch.ts';
import { Message } from './constants.ts';
import type { ChainObject, ElementObject, NftObject, SetObject, TableObject } from './objects.ts';

/**
 * More elements than this go in several batches, since a listener makes the kernel queue 8 kB for each until
 * commit.
 */
export const batchElements = 5000;

export function encode(delta: Delta<NftObject>, options: SetOptions): Transaction<NftObject> {
  const plan = planOf(delta);
  if (plan.whole || plan.dropped.length + plan.added.length <= batchElements) {
    return { door: 'nfnetlink', steps: [wholeStep(plan, options)] };
  }
  // What opens nothing comes first: sets, and elements that no rule may use yet. The rules and base chains
  // come last.
  const steps = [oneStep((batch) => declareSets(batch, plan, options))];
  for (const part of parts(plan.dropped))
    steps.push(oneStep((batch) => batch.elements(Message.DELSETELEM, part)));
  for (const part of parts(plan.added))
    steps.push(oneStep((batch) => batch.elements(Message.NEWSETELEM, part)));
  steps.push(
    oneStep((batch) => {
      letGo(batch, plan);
      putChains(batch, plan);
    }),
  );
  return { door: 'nfnetlink', steps };
}

/** A delta, sorted by what has to be said of it. */
interface Plan {
  /** The old table goes, and everything with it. */
  readonly goneTables: readonly TableObject[];
  readonly newTables: readonly TableObject[];
  readonly goneSets: readonly SetObject[];
  readonly newSets: readonly SetObject[];
  readonly goneChains: readonly ChainObject[];
  readonly newChains: readonly ChainObject[];
  readonly dropped: readonly ElementObject[];
  readonly added: readonly ElementObject[];
  /** Something is replaced under its own name, which only a single batch can do. */
  readonly whole: boolean;
}

function planOf({ remove, add }: Delta<NftObject>): Plan {
  const of = <K extends NftObject['kind']>(objects: readonly NftObject[], kind: K) =>
    objects.filter((object): object is Extract<NftObject, { kind: K }> => object.kind === kind);
  const newTables = of(add, 'table');
  const goneTables = of(remove, 'table').filter((table) => newTables.every((other) => other.id !== table.id));
  const replaced = goneTables.length > 0;
  const goneSets = replaced ? [] : of(remove, 'set');
  const newSets = of(add, 'set');
  const names = new Set(goneSets.map((set) => set.name));
  return {
    goneTables,
    newTables,
    goneSets,
    newSets,
    goneChains: replaced ? [] : of(remove, 'chain'),
    newChains: of(add, 'chain'),
    dropped: replaced ? [] : of(remove, 'element').filter((element) => !names.has(element.set)),
    added: of(add, 'element'),
    whole: replaced || newSets.some((set) => names.has(set.name)),
  };
}

function wholeStep(plan: Plan, options: SetOptions): Step<NftObject> {
  return oneStep((batch) => {
    for (const table of plan.goneTables) batch.deleteTable(table);
    letGo(batch, plan, plan.dropped);
    declareSets(batch, plan, options);
    batch.elements(Message.NEWSETELEM, plan.added);
    putChains(batch, plan);
  });
}

/** Rules before the chains they jump to, both before the sets they look into. */
function letGo(batch: Batch, plan: Plan, dropped: readonly ElementObject[] = []): void {
  for (const chain of plan.goneChains) batch.flushChain(chain);
  batch.elements(Message.DELSETELEM, dropped);
  for (const chain of plan.goneChains) {
    if (!plan.newChains.some((other) => sameChain(chain, other))) batch.deleteChain(chain);
  }
  for (const set of plan.goneSets) batch.deleteSet(set);
}

function declareSets(batch: Batch, plan: Plan, options: SetOptions): void {
  for (const table of plan.newTables) batch.newTable(table);
  for (const set of plan.newSets) batch.newSet(set, options);
}

/** All chains first, since rules jump between them. Base chains come last, so that nothing is judged half. */
function putChains(batch: Batch, plan: Plan): void {
  for (const chain of plan.newChains) {
    if (!plan.goneChains.some((other) => sameChain(chain, other))) batch.newChain(chain);
  }
  for (const chain of plan.newChains) {
    for (const rule of chain.rules) batch.newRule(chain, rule);
  }
}

function sameChain(a: ChainObject, b: ChainObject): boolean {
  return a.name === b.name && a.hook?.number === b.hook?.number && a.hook?.priority === b.hook?.priority;
}

/** Cuts between VIPs only, so that no VIP is half in. */
function* parts(elements: readonly ElementObject[]): Generator<readonly ElementObject[]> {
  let start = 0;
  for (let index = 1; index <= elements.length; index++) {
    const boundary = elements[index]?.owner !== elements[index - 1]?.owner;
    if (index === elements.length || (boundary && index - start >= batchElements)) {
      yield elements.slice(start, index);
      start = index;
    }
  }
}

function oneStep(write: (batch: Batch) => void): Step<NftObject> {
  const batch = new Batch();
  write(batch);
  return batch.close();
}
