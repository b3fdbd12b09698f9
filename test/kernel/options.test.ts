// An agent starts with other options than the one before: all ports are there after the change. If the kernel
// refuses a write or a part of it, the old rules go on guarding.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import { Census } from '../../src/agent/rules/census.ts';
import { diff } from '../../src/dialects/delta.ts';
import type { Transaction } from '../../src/dialects/dialect.ts';
import type { Receipt } from '../../src/netlink/ack.ts';
import { firewallsWith, rulesOn, withPorts } from './both-firewalls.ts';
import { nft, ownKernel } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';
import { run } from './own-xtables.ts';

const EAGAIN = 11;
const vips = [withPorts(1, 2), withPorts(2, 2)];
const [before, after] = [{}, { observe: true, echo: false, counters: true }].map(firewallsWith);

for (const options of [{ counters: true }, { observe: true }, { echo: false }])
  for (const [index, { firewall, skip }] of before?.entries() ?? [])
    test(`${firewall.dialect.name}: every port stays when options become ${JSON.stringify(options)}`, {
      skip,
    }, async () => {
      using own = ownKernel();
      const other = firewallsWith(options)[index]?.firewall ?? firewall;
      for (const told of [firewall, other, firewall]) {
        const rules = rulesOn(own, told, vips);
        equal((await rules.reconcile(true)).outcome, 'committed');
        const have = told.dialect.decode(await own.kernel.dump(told.dialect.dumps));
        deepEqual(diff(have, rules.whole()), { remove: [], add: [] });
        equal(have.elements.length, 2 * (2 * 2 + 2));
      }
    });

for (const [size, kept] of [
  [4, 4],
  [1, 1024],
] as const)
  for (const { firewall, skip } of before ?? [])
    test(`${firewall.dialect.name}: every port stays when sets of 1024 are to have the size ${size}`, {
      skip,
    }, async () => {
      using own = ownKernel();
      await rulesOn(own, firewall, vips).reconcile(true);
      const ledger = new Ledger();
      for (const vip of vips) ledger.wanted.set(vip.address, vip);
      const refused: string[] = [];
      const refuse = (key: string) => refused.push(key);
      const { kernel } = own;
      const rules = rulesOf({ kernel, firewall, ledger, refuse, census: new Census(size) });
      equal((await rules.reconcile(true)).outcome, 'committed');
      equal(await rules.commit(new Set(vips.map(({ address }) => address))), 'committed');
      const have = firewall.dialect.decode(await kernel.dump(firewall.dialect.dumps));
      deepEqual(diff(have, rules.whole()), { remove: [], add: [] });
      deepEqual([have.elements.length, have.needs?.capacities.ports4, refused], [12, kept, []]);
    });

for (const [index, { firewall, skip }] of before?.entries() ?? []) {
  const { name } = firewall.dialect;
  const next = after?.[index];
  if (next === undefined) throw new Error(`no other ${name}`);
  const told = async (steps: number, harm?: string): Promise<readonly unknown[]> => {
    using own = ownKernel();
    await rulesOn(own, firewall, vips).reconcile(true);
    if (harm !== undefined && name === 'nftables') nft(own, harm.split(' '));
    else if (harm !== undefined) run(own, harm);
    const ledger = new Ledger();
    for (const vip of vips) ledger.wanted.set(vip.address, vip);
    const lost: string[] = [];
    const rules = rulesOf({
      firewall: next.firewall,
      ledger,
      kernel: {
        commit: async <O>(transaction: Transaction<O>): Promise<Receipt<O>> => {
          const refused = { object: null, errno: EAGAIN, words: 'the lock is held' };
          return [...(await own.kernel.commit(firstOf(transaction, steps))), refused];
        },
        dump: (requests) => own.kernel.dump(requests),
      },
      withdraw: async (keys) => {
        lost.push(...keys);
      },
    });
    equal((await rules.reconcile(false)).outcome, 'unsure');
    // Again, from what the first pass left.
    equal((await rules.reconcile(false)).outcome, 'unsure');
    return lost;
  };

  for (const steps of name === 'xtables' ? [0, 1, 2, 3, 4, 5] : [0])
    test(`${name}: a change of options that stops after ${steps} steps withdraws no address`, {
      skip,
    }, async () => {
      deepEqual(await told(steps), []);
    });

  test(`${name}: a foreign accept rule in the guard withdraws all addresses`, { skip }, async () => {
    const harm =
      name === 'xtables'
        ? 'iptables-legacy -w -t raw -I vipward-guard -j ACCEPT'
        : 'insert rule inet vipward guard4 accept';
    deepEqual(new Set(await told(0, harm)), new Set(vips.map(({ address }) => address)));
  });
}

/** The beginning of a transaction: some steps, then some tables. */
function firstOf<O>(transaction: Transaction<O>, count: number): Transaction<O> {
  const { steps, tables = [] } = transaction;
  const left = Math.max(0, count - steps.length);
  return { ...transaction, steps: steps.slice(0, count), tables: tables.slice(0, left), after: [] };
}
