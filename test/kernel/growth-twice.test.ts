// VIPs change while a commit that replaces a set is under way: the new set has all elements of the old one.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { Firewall } from '../../src/agent/firewall/firewall.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import { diff } from '../../src/dialects/delta.ts';
import type { Transaction } from '../../src/dialects/dialect.ts';
import type { Receipt } from '../../src/netlink/ack.ts';
import { bothFirewalls, nth, withPorts } from './both-firewalls.ts';
import { type OwnKernel, ownKernel } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';

const served = 100;

/** Rules that serve some VIPs; `whileBusy` is called once, after the next commit. */
async function serving(own: OwnKernel, firewall: Firewall) {
  const ledger = new Ledger();
  const once: { whileBusy: () => void } = { whileBusy: () => {} };
  const commit = async <O>(transaction: Transaction<O>): Promise<Receipt<O>> => {
    const receipt = await own.kernel.commit(transaction);
    once.whileBusy();
    once.whileBusy = () => {};
    return receipt;
  };
  const rules = rulesOf({ firewall, ledger, kernel: { commit, dump: (list) => own.kernel.dump(list) } });
  await rules.reconcile(true);
  for (let n = 0; n < served; n++) ledger.wanted.set(nth(n), withPorts(n, 10));
  equal(await rules.commit(new Set(ledger.wanted.keys())), 'committed');
  /** Commits until all wanted VIPs are committed, and checks that the kernel holds exactly those. */
  const settle = async (): Promise<void> => {
    const left = () => new Set([...ledger.wanted.keys()].filter((key) => !ledger.isCommitted(key)));
    for (let keys = left(); keys.size > 0; keys = left()) equal(await rules.commit(keys), 'committed');
    const have = firewall.dialect.decode(await own.kernel.dump(firewall.dialect.dumps));
    deepEqual(diff(have, rules.whole()), { remove: [], add: [] });
  };
  return { ledger, rules, once, settle };
}

for (const { firewall, counts, skip } of bothFirewalls) {
  const { name } = firewall.dialect;
  test(`${name}: a VIP that grows again while its set is enlarged costs no other VIP its ports`, {
    skip,
  }, async () => {
    using own = ownKernel();
    const { ledger, rules, once, settle } = await serving(own, firewall);
    ledger.wanted.set(nth(0), withPorts(0, 50));
    once.whileBusy = () => ledger.wanted.set(nth(0), withPorts(0, 4000));
    equal(await rules.commit(new Set([nth(0)])), 'committed');
    deepEqual(counts(own), [4990, served, 4990, served]);
    await settle();
  });

  test(`${name}: VIPs that become filtered during a commit leave all other VIPs in the gate`, {
    skip,
  }, async () => {
    using own = ownKernel();
    const { ledger, rules, once, settle } = await serving(own, firewall);
    const coming = Array.from({ length: 3101 }, (_, n) => withPorts(1000 + n, 1));
    const [first, ...others] = coming;
    for (const vip of others) ledger.wanted.set(vip.address, { ...vip, filtered: false });
    if (first !== undefined) ledger.wanted.set(first.address, first);
    once.whileBusy = () => {
      for (const vip of coming) ledger.wanted.set(vip.address, vip);
    };
    equal(await rules.commit(new Set(coming.map(({ address }) => address))), 'committed');
    await settle();
    deepEqual(counts(own).at(-1), served + coming.length);
  });
}
