// The difference between what this node's kernel holds and what it should hold, rules and addresses, in
// words.

import { addresses } from '../../dialects/addresses/dialect.ts';
import { diff } from '../../dialects/delta.ts';
import type { Agent } from '../agent.ts';

/** What a repair would remove and add; nothing is changed. */
export interface Differences {
  readonly differs: boolean;
  readonly remove: readonly string[];
  readonly add: readonly string[];
}

/** Throws SystemCallError. */
export async function differences(agent: Agent): Promise<Differences> {
  const [rules, held] = [await ofRules(agent), await ofAddresses(agent)];
  const remove = [...held.remove, ...rules.remove];
  const add = [...rules.add, ...held.add];
  return { differs: remove.length + add.length > 0, remove, add };
}

type Words = Pick<Differences, 'remove' | 'add'>;

async function ofRules({ kernel, firewall, rules }: Agent): Promise<Words> {
  const { dialect, describe } = firewall;
  const { remove, add } = diff(dialect.decode(await kernel.dump(dialect.dumps)), rules.whole());
  return { remove: remove.map(describe), add: add.map(describe) };
}

async function ofAddresses({ kernel, places }: Agent): Promise<Words> {
  const have = addresses.decode(await kernel.dump(addresses.dumps));
  const { remove, add } = diff(have, places.whole());
  // An address that another program put where a VIP belongs serves as well as ours.
  const theirs = new Set(have.elements.filter(({ foreign }) => foreign).map(({ id }) => id));
  const missing = add.filter(({ id }) => !theirs.has(id));
  return { remove: remove.map(places.describe), add: missing.map(places.describe) };
}
