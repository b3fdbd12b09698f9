// A delta -> ipset messages and rewritten tables. ipset has no transactions, so the order ensures that a port
// that stays open is never closed, and a port that stays closed is never opened.

import { Writer } from '../../netlink/writer.ts';
import type { Delta, TableStep, Transaction } from '../dialect.ts';
import { Batch } from './batch.ts';
import { blobOf } from './blob.ts';
import { Command, chainNames, setName, swapSuffix } from './constants.ts';
import { headers } from './dumps.ts';
import { edit } from './edit.ts';
import { shapeOf } from './families.ts';
import { type ElementObject, keyText, type SetObject, type TableObject, type XtObject } from './objects.ts';
import { readIndexes } from './read-sets.ts';
import { replaceBytes } from './replace.ts';

/** The gates: the rules filter a VIP while it is in one of these sets. */
const gates: ReadonlySet<string> = new Set([setName('vip', 4), setName('vip', 6)]);

/** Room for a hundred changes of one Service each. */
const bufferBytes = 32 * 1024;
/** A change with more elements is planned, since it may concern many VIPs. */
const mostOfFew = 64;

/** An encode() with its own buffer. */
export function encoder(): (delta: Delta<XtObject>) => Transaction<XtObject> {
  const batch = new Batch(new Writer(bufferBytes));
  return ({ remove, add }) => {
    const isSmall = remove.length + add.length <= mostOfFew;
    if (!(isSmall && areElements(remove) && areElements(add))) return encode(planOf(remove, add), batch);
    changeFew(batch, remove, add);
    return { door: 'nfnetlink', steps: batch.take() };
  };
}

/** Nearly every delta has few elements only, so no sets have to be ordered. */
function changeFew(batch: Batch, remove: readonly ElementObject[], add: readonly ElementObject[]): void {
  const stays = ({ owner }: ElementObject): boolean => isOwned(owner, add);
  letGo(batch, remove, (element) => !stays(element));
  for (const element of add) if (!gates.has(element.set)) batch.element(Command.ADD, element);
  if (remove.some(stays)) batch.halve();
  for (const element of add) if (gates.has(element.set)) batch.element(Command.ADD, element);
  letGo(batch, remove, stays);
}

function isOwned(owner: ElementObject['owner'], elements: readonly ElementObject[]): boolean {
  for (const element of elements) if (element.owner === owner) return true;
  return false;
}

function areElements(objects: readonly XtObject[]): objects is readonly ElementObject[] {
  for (const { kind } of objects) if (kind !== 'element') return false;
  return true;
}

function encode(plan: Plan, batch: Batch): Transaction<XtObject> {
  letGo(batch, plan.freed);
  // The messages that can fail for lack of room go in a step of their own: an old element of a VIP is deleted
  // only after all its new elements are in.
  prepare(batch, plan);
  if (plan.goneElements.length + plan.grown.length > 0) batch.cut();
  switchOver(batch, plan);
  const tables = plan.tables.map(([object, wanted]) => tableStep(object, wanted));
  if (tables.length === 0) {
    clear(batch, plan);
    return { door: 'nfnetlink', steps: batch.take() };
  }
  const steps = batch.take();
  clear(batch, plan);
  return { door: 'nfnetlink', steps, tables, after: batch.take() };
}

interface Plan {
  readonly goneSets: readonly SetObject[];
  /** Foreign sets with our names and another type, which cannot be swapped for ours. */
  readonly misfits: readonly SetObject[];
  readonly newSets: readonly SetObject[];
  /** Sets that a new set of the same name replaces once it holds all elements. */
  readonly grown: readonly SetObject[];
  readonly newElements: readonly ElementObject[];
  readonly goneElements: readonly ElementObject[];
  /** Removed elements of VIPs that get no new ones; they go first, since other VIPs may need their room. */
  readonly freed: readonly ElementObject[];
  /** Each table with its wanted content; null for none. */
  readonly tables: readonly (readonly [TableObject, TableObject | null])[];
}

function planOf(remove: readonly XtObject[], add: readonly XtObject[]): Plan {
  const of = <K extends XtObject['kind']>(objects: readonly XtObject[], kind: K) =>
    objects.filter((object): object is Extract<XtObject, { kind: K }> => object.kind === kind);
  const [oldSets, sets] = [of(remove, 'set'), of(add, 'set')];
  const old = new Map(oldSets.map((set) => [set.name, set]));
  const wanted = new Map(sets.map((set) => [set.name, set]));
  const goneSets = oldSets.filter(({ name }) => !wanted.has(name));
  const grown = sets.filter((set) => isOfOneKind(old.get(set.name), set));
  const misfits = oldSets.filter((set) => wanted.has(set.name) && !isOfOneKind(set, wanted.get(set.name)));
  const newElements = of(add, 'element');
  // A replaced or deleted set takes its elements with it, so of these only gate elements are deleted singly.
  const emptied = new Set(
    oldSets.filter((set) => !gates.has(set.name) || misfits.includes(set)).map(({ name }) => name),
  );
  const again = new Set(newElements.map(({ set, key }) => `${set} ${keyText(key)}`));
  const leaving = of(remove, 'element').filter(
    ({ set, key }) => !emptied.has(set) && !again.has(`${set} ${keyText(key)}`),
  );
  const changed = new Set(newElements.map(({ owner }) => owner));
  return {
    goneSets,
    grown,
    misfits,
    newSets: sets.filter((set) => !grown.includes(set)),
    newElements,
    goneElements: leaving.filter(({ owner }) => changed.has(owner)),
    freed: leaving.filter(({ owner }) => !changed.has(owner)),
    tables: tablesOf(of(remove, 'table'), of(add, 'table')),
  };
}

function isOfOneKind(one: SetObject | undefined, other: SetObject | undefined): boolean {
  return one?.type === other?.type && one?.family === other?.family;
}

/**
 * If VIPs with egress move to the table after conntrack, the guard is written after that table; if they move
 * back, before it. So it is with packets from forged VIPs, unless the two move opposite ways.
 */
function tablesOf(remove: readonly TableObject[], add: readonly TableObject[]): Plan['tables'] {
  const ids = new Set(add.map(({ id }) => id));
  const gone = remove.filter(({ id }) => !ids.has(id)).map((object) => [object, null] as const);
  const guards = ({ chains }: TableObject): boolean => chains.some(({ name }) => name === chainNames.guard);
  const has = (tables: readonly TableObject[], chain: string): boolean =>
    tables.some(({ chains }) => chains.some(({ name }) => name === chain));
  const { egress, forged } = chainNames;
  const isLast = has(add, egress) || (has(add, forged) && !has(remove, egress));
  const sorted = add.toSorted((a, b) => (Number(guards(a)) - Number(guards(b))) * (isLast ? 1 : -1));
  return [...sorted.map((object) => [object, object] as const), ...gone];
}

/** Deletes a VIP from its gate before it deletes the VIP's ports. */
function letGo(batch: Batch, elements: readonly ElementObject[], goes = everyOne): void {
  for (const one of elements) if (gates.has(one.set) && goes(one)) batch.element(Command.DEL, one);
  for (const one of elements) if (!gates.has(one.set) && goes(one)) batch.element(Command.DEL, one);
}

function everyOne(_element: ElementObject): boolean {
  return true;
}

/** Creates sets and adds every element except gate elements of sets in force. */
function prepare(batch: Batch, { goneSets, misfits, newSets, grown, newElements }: Plan): void {
  const replaced = new Set(grown.map(({ name }) => name));
  for (const set of goneSets) if (set.name.endsWith(swapSuffix)) batch.destroy(set);
  for (const set of misfits) batch.destroy(set);
  for (const set of newSets) batch.create(set);
  for (const set of grown) batch.create(set, set.name + swapSuffix);
  for (const element of newElements) {
    if (replaced.has(element.set)) batch.element(Command.ADD, element, element.set + swapSuffix);
    else if (!gates.has(element.set)) batch.element(Command.ADD, element);
  }
}

/** Deletes gate elements, then swaps sets, then adds the gate elements of VIPs whose ports are all in. */
function switchOver(batch: Batch, { grown, newElements, goneElements }: Plan): void {
  const replaced = new Set(grown.map(({ name }) => name));
  for (const element of goneElements) if (gates.has(element.set)) batch.element(Command.DEL, element);
  for (const set of grown.toSorted((a, b) => Number(gates.has(a.name)) - Number(gates.has(b.name)))) {
    batch.swap(set, set.name + swapSuffix);
    batch.destroy(set, set.name + swapSuffix);
  }
  for (const element of newElements) {
    if (gates.has(element.set) && !replaced.has(element.set)) batch.element(Command.ADD, element);
  }
}

/** Deletes elements and sets that no rule uses any more. */
function clear(batch: Batch, { goneSets, goneElements }: Plan): void {
  for (const element of goneElements) if (!gates.has(element.set)) batch.element(Command.DEL, element);
  for (const set of goneSets) if (!set.name.endsWith(swapSuffix)) batch.destroy(set);
}

function tableStep(object: TableObject, wanted: TableObject | null): TableStep<XtObject> {
  const { family, table } = object;
  return {
    object,
    family,
    table,
    sets: headers(),
    edit({ info, entries, sets }) {
      const blob = blobOf(info, entries);
      const indexes = readIndexes(sets);
      const edited = edit(shapeOf(family), blob, wanted, (name) => indexes.get(name) ?? missingSet);
      return { replace: replaceBytes(table, edited, blob.entryCount), origins: edited.origins };
    },
  };
}

/** An index that no set has; the kernel refuses it with ENOENT. */
const missingSet = 0xffff;
