// VIPs replace each other: the old ones are in the kernel until the new ones are, and every set has room
// for both.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { Firewall } from '../../src/agent/firewall/firewall.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import { wholeDiffers } from '../../src/agent/poll.ts';
import type { Rules } from '../../src/agent/rules/rules.ts';
import { sliceVips } from '../../src/agent/rules/slices.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { bothFirewalls, rulesOn, withPorts } from './both-firewalls.ts';
import { type OwnKernel, ownKernel } from './own-kernel.ts';

const many = 600;
const some = (from: number, count: number, first = 80): VirtualIp[] =>
  Array.from({ length: count }, (_, n) => withPorts(from + n, 1, first));
const [gone, coming] = [some(0, many), some(1000, many)];

/** Sets hold 1,024 unless more is asked of them. */
const least = 1024;

/** The kernel holds what the rules say, and the gate for IPv4 has this size. */
async function holds(own: OwnKernel, firewall: Firewall, rules: Rules): Promise<number> {
  const have = firewall.dialect.decode(await own.kernel.dump(firewall.dialect.dumps));
  equal(have.needs === null, false);
  const wanted = [...rules.elements()].flatMap((elements) => [...elements]);
  deepEqual(
    [...new Set(have.elements.map(({ id }) => id))].sort(),
    [...new Set(wanted.map(({ id }) => id))].sort(),
  );
  equal(await wholeDiffers({ kernel: own.kernel, firewall, rules }), false);
  return have.needs?.capacities.vips4 ?? 0;
}

for (const { firewall, skip, counts } of bothFirewalls) {
  const { name } = firewall.dialect;
  /** An agent that leaves these VIPs in the kernel, and the next one, which does not know them. */
  const begun = async (own: OwnKernel, before: readonly VirtualIp[]) => {
    await rulesOn(own, firewall, before).reconcile(true);
    const ledger = new Ledger();
    const rules = rulesOn(own, firewall, [], ledger);
    const want = (vips: readonly VirtualIp[]): void => {
      ledger.wanted.clear();
      for (const one of vips) ledger.wanted.set(one.address, one);
    };
    const commit = async (): Promise<string> =>
      await rules.commit(new Set([...ledger.wanted.keys(), ...ledger.committed.keys()]));
    return { rules, want, commit };
  };

  test(`${name}: VIPs that come before the first sync fit beside those of an earlier agent`, {
    skip,
  }, async () => {
    using own = ownKernel();
    const { rules, want, commit } = await begun(own, gone);
    await rules.reconcile(false);
    want(coming);
    equal(await commit(), 'committed');
    deepEqual(counts(own), Array(4).fill(2 * many));
    await holds(own, firewall, rules);
    await rules.reconcile(true);
    deepEqual(counts(own), Array(4).fill(many));
    await holds(own, firewall, rules);
  });

  test(`${name}: at a start with a journal the sets have room for VIPs that only the kernel has`, {
    skip,
  }, async () => {
    using own = ownKernel();
    const { rules, want } = await begun(own, gone);
    want(coming);
    equal((await rules.reconcile(false)).outcome, 'committed');
    deepEqual(counts(own), Array(4).fill(2 * many));
    await holds(own, firewall, rules);
  });

  test(`${name}: the first sync can replace all VIPs`, { skip }, async () => {
    using own = ownKernel();
    const { rules, want } = await begun(own, gone);
    want(coming);
    equal((await rules.reconcile(true)).outcome, 'committed');
    deepEqual(counts(own), Array(4).fill(many));
    await holds(own, firewall, rules);
  });

  test(`${name}: one change can replace all VIPs, and the next one all their ports`, { skip }, async () => {
    using own = ownKernel();
    const { rules, want, commit } = await begun(own, gone);
    want(gone);
    await rules.reconcile(true);
    equal(await holds(own, firewall, rules), least);
    want(coming);
    equal(await commit(), 'committed');
    deepEqual(counts(own), Array(4).fill(many));
    want(some(1000, many, 9000));
    equal(await commit(), 'committed');
    await holds(own, firewall, rules);
  });

  test(`${name}: one VIP can replace another in a full set`, { skip }, async () => {
    using own = ownKernel();
    const full = some(0, least);
    const { rules, want, commit } = await begun(own, full);
    want(full);
    await rules.reconcile(true);
    equal(await holds(own, firewall, rules), least);
    want([...full.slice(1), withPorts(5000, 1)]);
    equal(await commit(), 'committed');
    deepEqual(counts(own), Array(4).fill(least));
    await holds(own, firewall, rules);
  });

  test(`${name}: VIPs of an earlier agent that are wanted again do not enlarge the sets`, {
    skip,
  }, async () => {
    using own = ownKernel();
    const { rules, want, commit } = await begun(own, gone);
    await rules.reconcile(false);
    want(gone);
    equal(await commit(), 'committed');
    equal(await holds(own, firewall, rules), least);
    await rules.reconcile(true);
    equal(await holds(own, firewall, rules), least);
    equal(rules.commits, Math.ceil(gone.length / sliceVips), 'the sync commits nothing');
  });
}
