// A delta -> batches. One batch wherever that is possible, for the kernel commits a batch as a whole.

import type { Step } from '../../netlink/ack.ts';
import { Writer } from '../../netlink/writer.ts';
import type { Delta, Transaction } from '../dialect.ts';
import { Batch, type SetOptions } from './batch.ts';
import { Message } from './constants.ts';
import type { ChainObject, ElementObject, NftObject, SetObject, TableObject } from './objects.ts';

/**
 * More elements than this go in several batches, since a listener makes the kernel queue 8 kB for each until
 * commit.
 */
export const batchElements = 5000;

/** Room for a hundred batches of one Service each. */
const bufferBytes = 32 * 1024;

/** An encode() with a buffer of its own. */
export function encoder(options: SetOptions): (delta: Delta<NftObject>) => Transaction<NftObject> {
  const writer = new Writer(bufferBytes);
  return (delta) => encode(delta, options, writer);
}

function encode(delta: Delta<NftObject>, options: SetOptions, writer: Writer): Transaction<NftObject> {
  const { remove, add } = delta;
  if (remove.length + add.length === 0) return { door: 'nfnetlink', steps: [] };
  if (remove.length + add.length <= batchElements && areElements(remove) && areElements(add)) {
    return { door: 'nfnetlink', steps: [changeStep(remove, add, writer)] };
  }
  const plan = planOf(delta);
  if (plan.whole || plan.dropped.length + plan.added.length <= batchElements) {
    return { door: 'nfnetlink', steps: [wholeStep(plan, options, writer)] };
  }
  // What opens nothing comes first: sets, and elements that no rule may use yet. The rules and base chains
  // come last.
  const steps = [oneStep(writer, (batch) => declareSets(batch, plan, options))];
  for (const { dropped, added } of parts(plan)) {
    steps.push(
      oneStep(writer, (batch) => {
        batch.elements(Message.DELSETELEM, dropped);
        batch.elements(Message.NEWSETELEM, added);
      }),
    );
  }
  steps.push(
    oneStep(writer, (batch) => {
      letGo(batch, plan);
      putChains(batch, plan);
    }),
  );
  return { door: 'nfnetlink', steps };
}

/** Nearly every delta: only elements, so that there is nothing to put in order. */
function changeStep(
  remove: readonly ElementObject[],
  add: readonly ElementObject[],
  writer: Writer,
): Step<NftObject> {
  const batch = new Batch(writer);
  if (remove.length > 0) batch.elements(Message.DELSETELEM, remove);
  if (add.length > 0) batch.elements(Message.NEWSETELEM, add);
  return batch.close();
}

function areElements(objects: readonly NftObject[]): objects is readonly ElementObject[] {
  for (const { kind } of objects) if (kind !== 'element') return false;
  return true;
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

function wholeStep(plan: Plan, options: SetOptions, writer: Writer): Step<NftObject> {
  return oneStep(writer, (batch) => {
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

interface Part {
  readonly dropped: ElementObject[];
  readonly added: ElementObject[];
}

/** Cuts between VIPs only: what a VIP loses and what it gets are in one batch, whatever order a dump had. */
function* parts({ dropped, added }: Plan): Generator<Pick<Plan, 'dropped' | 'added'>> {
  if (dropped.length === 0) {
    yield* slices(added);
    return;
  }
  const byOwner = new Map<string | null, Part>();
  const of = (element: ElementObject): Part => {
    const known = byOwner.get(element.owner);
    if (known !== undefined) return known;
    const fresh = { dropped: [], added: [] };
    byOwner.set(element.owner, fresh);
    return fresh;
  };
  for (const element of dropped) of(element).dropped.push(element);
  for (const element of added) of(element).added.push(element);
  let part: Part = { dropped: [], added: [] };
  for (const mine of byOwner.values()) {
    part.dropped.push(...mine.dropped);
    part.added.push(...mine.added);
    if (part.dropped.length + part.added.length < batchElements) continue;
    yield part;
    part = { dropped: [], added: [] };
  }
  if (part.dropped.length + part.added.length > 0) yield part;
}

/** A cold load: the elements of one VIP stand together. */
function* slices(added: readonly ElementObject[]): Generator<Pick<Plan, 'dropped' | 'added'>> {
  for (let start = 0; start < added.length; ) {
    let end = Math.min(added.length, start + batchElements);
    while (end < added.length && added[end]?.owner === added[end - 1]?.owner) end++;
    yield { dropped: [], added: added.slice(start, end) };
    start = end;
  }
}

function oneStep(writer: Writer, write: (batch: Batch) => void): Step<NftObject> {
  const batch = new Batch(writer);
  write(batch);
  return batch.close();
}
