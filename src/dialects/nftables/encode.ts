// A delta -> batches. It makes one batch where possible, because the kernel commits a batch atomically.

import type { Step } from '../../netlink/ack.ts';
import { Writer } from '../../netlink/writer.ts';
import type { Address } from '../../state/address.ts';
import type { Delta, Transaction } from '../dialect.ts';
import { Batch, type SetOptions } from './batch.ts';
import { Message } from './constants.ts';
import { lookingInto } from './looking-into.ts';
import { type ChainObject, type ElementObject, type NftObject, setObject } from './objects.ts';
import { type Plan, planOf, sameChain } from './plan.ts';
import { batchElements, type Portion, portions } from './portions.ts';

/** Room for a hundred batches of one Service each. */
const bufferBytes = 32 * 1024;

/** An encode() with its own buffer. */
export function encoder(options: SetOptions): (delta: Delta<NftObject>) => Transaction<NftObject> {
  const batch = new Batch(new Writer(bufferBytes));
  return (delta) => encode(delta, options, batch);
}

function encode(delta: Delta<NftObject>, options: SetOptions, batch: Batch): Transaction<NftObject> {
  const { remove, add } = delta;
  if (remove.length + add.length === 0) return { door: 'nfnetlink', steps: [] };
  if (remove.length + add.length > batchElements || !areElements(remove) || !areElements(add))
    return encodeWhole(delta, options, batch);
  batch.open();
  changeElements(batch, remove, add);
  return { door: 'nfnetlink', steps: [batch.close()] };
}

function encodeWhole(delta: Delta<NftObject>, options: SetOptions, batch: Batch): Transaction<NftObject> {
  const step = (write: Write): Step<NftObject> => {
    batch.open();
    write(batch);
    return batch.close();
  };
  const plan = planOf(delta);
  if (isTakenOver(delta, plan) && changesHooks(plan)) {
    const steps = parts(delta).flatMap((part) => encode(part, options, batch).steps);
    return { door: 'nfnetlink', steps };
  }
  const isSmall = plan.dropped.length + plan.added.length <= batchElements;
  if (isSmall || plan.goneTables.length > 0 || plan.goneSets.some(({ name }) => isStandIn(name)))
    return { door: 'nfnetlink', steps: [step(() => changeWhole(batch, plan, options))] };
  return { door: 'nfnetlink', steps: inPortions(plan, options).map(step) };
}

/** Splits a delta into the part about the table itself and the rest. */
function parts({ remove, add }: Delta<NftObject>): readonly [Delta<NftObject>, Delta<NftObject>] {
  const of = (isTable: boolean): Delta<NftObject> => {
    const isPart = ({ kind }: NftObject): boolean => (kind === 'table') === isTable;
    return { remove: remove.filter(isPart), add: add.filter(isPart) };
  };
  return [of(true), of(false)];
}

/** The delta claims our own table, which has lost its owner. */
function isTakenOver({ remove }: Delta<NftObject>, { goneTables }: Plan): boolean {
  return goneTables.length === 0 && remove.some(({ kind }) => kind === 'table');
}

/**
 * The delta adds or removes base chains. The kernel refuses that in the batch that claims the table (EINVAL,
 * __NFT_TABLE_F_UPDATE in net/netfilter/nf_tables_api.c).
 */
function changesHooks({ goneChains, newChains }: Plan): boolean {
  const lack = (some: readonly ChainObject[], others: readonly ChainObject[]): boolean => {
    return some.some((chain) => chain.hook !== null && !others.some((other) => sameChain(chain, other)));
  };
  return lack(goneChains, newChains) || lack(newChains, goneChains);
}

type Write = (batch: Batch) => void;

/** Nearly every delta has only elements, which need no order. */
function changeElements(batch: Batch, remove: readonly ElementObject[], add: readonly ElementObject[]): void {
  if (remove.length > 0) batch.elements(Message.DELSETELEM, remove);
  if (add.length > 0) batch.elements(Message.NEWSETELEM, add);
}

function areElements(objects: readonly NftObject[]): objects is readonly ElementObject[] {
  for (const { kind } of objects) if (kind !== 'element') return false;
  return true;
}

function changeWhole(batch: Batch, plan: Plan, options: SetOptions): void {
  for (const table of plan.goneTables) batch.deleteTable(table);
  letGo(batch, plan, plan.dropped);
  declareSets(batch, plan, options);
  batch.elements(Message.NEWSETELEM, plan.added);
  putChains(batch, plan);
}

/**
 * Keeps the filter whole between batches: a VIP is in a gate only while all its ports are in force. The gate
 * of a removed VIP goes before its ports; the gate of a new VIP comes after the rules. Other elements are
 * added before the old ones are removed, or in the same batch. A set that is replaced under its own name has
 * a stand-in: it is filled, the rules look into it, and meanwhile the new set is made and filled.
 */
function inPortions(plan: Plan, options: SetOptions): Write[] {
  const { newSets, newChains, replaced } = plan;
  const larger = newSets.filter(({ name }) => replaced.has(name));
  const standIns = larger.map((set) => setObject({ ...set, name: standInFor(set.name) }));
  const nameOf = (set: string): string => (replaced.has(set) ? standInFor(set) : set);
  const moved = plan.added.filter(({ set }) => replaced.has(set));
  const fresh = newSets.filter(({ name }) => !replaced.has(name));
  // An element in a set that no rule looks into yet cannot replace an element that goes.
  const unused = new Set([...fresh.map(({ name }) => name), ...replaced]);
  const waiting = ownersOf(plan.added.filter(({ set }) => unused.has(set)));
  const isLateGate = ({ set }: ElementObject): boolean => isGate(set) && !replaced.has(set);
  const [gates, others] = parted(plan.dropped, ({ set }) => isGate(set));
  // A VIP that goes stays in the old gate until the rules look into its stand-in.
  const staying = larger.some(({ name }) => isGate(name)) ? ownersOf(plan.added) : null;
  const [left, dropped] = parted(others, ({ owner }) => waiting.has(owner) || staying?.has(owner) === false);
  const [lateGates, added] = parted(plan.added, isLateGate);
  const inTheirPlace: Write[] = [
    (batch) => declareSets(batch, { newTables: [], newSets: larger }, options),
    ...changing({ dropped: [], added: moved }),
    (batch) => {
      letGo(batch, { goneChains: newChains, newChains, goneSets: standIns });
      putChains(batch, { goneChains: newChains, newChains });
    },
  ];
  return [
    (batch) => declareSets(batch, { ...plan, newSets: [...fresh, ...standIns] }, options),
    ...changing({ dropped: gates, added: [] }),
    ...changing({ dropped, added }, nameOf),
    (batch) => {
      letGo(batch, plan);
      putChains(batch, plan, nameOf);
    },
    ...(larger.length === 0 ? [] : inTheirPlace),
    ...changing({ dropped: left, added: lateGates }),
  ];
}

function changing(elements: Portion, nameOf?: (set: string) => string): Write[] {
  return [...portions(elements)].map(
    ({ dropped, added }): Write =>
      (batch) => {
        batch.elements(Message.DELSETELEM, dropped);
        batch.elements(Message.NEWSETELEM, added, nameOf);
      },
  );
}

function ownersOf(elements: readonly ElementObject[]): Set<Address | null> {
  return new Set(elements.map(({ owner }) => owner));
}

/** The elements for which `is` is true, and the rest. */
function parted(
  elements: readonly ElementObject[],
  is: (element: ElementObject) => boolean,
): readonly [ElementObject[], ElementObject[]] {
  return [elements.filter(is), elements.filter((element) => !is(element))];
}

/** The rules filter a VIP while it is in one of these sets. */
function isGate(set: string): boolean {
  return set.startsWith('vip') || set.startsWith('egress');
}

/** The name has the length of the set's own name, so that a rule keeps its length. */
function standInFor(set: string): string {
  return set.toUpperCase();
}

/** Recognises by its name a stand-in that an interrupted writer left behind. */
export function isStandIn(set: string): boolean {
  return /^[A-Z]/.test(set);
}

/**
 * Deletes rules before the sets they look into and the chains they jump to. A foreign verdict map can hold
 * chains, so sets go before chains.
 */
function letGo(
  batch: Batch,
  plan: Pick<Plan, 'goneChains' | 'newChains' | 'goneSets'>,
  dropped: readonly ElementObject[] = [],
): void {
  for (const chain of plan.goneChains) batch.flushChain(chain);
  batch.elements(Message.DELSETELEM, dropped);
  for (const set of plan.goneSets) batch.deleteSet(set);
  for (const chain of plan.goneChains) {
    if (!plan.newChains.some((other) => sameChain(chain, other))) batch.deleteChain(chain);
  }
}

function declareSets(batch: Batch, plan: Pick<Plan, 'newTables' | 'newSets'>, options: SetOptions): void {
  for (const table of plan.newTables) batch.newTable(table);
  for (const set of plan.newSets) batch.newSet(set, options);
}

/**
 * Creates all chains before the rules that jump to them; base chains come last, so the filter is never
 * partial.
 */
function putChains(
  batch: Batch,
  plan: Pick<Plan, 'goneChains' | 'newChains'>,
  nameOf?: (set: string) => string,
): void {
  for (const chain of plan.newChains) {
    if (!plan.goneChains.some((other) => sameChain(chain, other))) batch.newChain(chain);
  }
  for (const chain of plan.newChains) {
    for (const rule of chain.rules) batch.newRule(chain, nameOf ? lookingInto(rule, nameOf) : rule);
  }
}
