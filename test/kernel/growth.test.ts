// Sets become too small while many VIPs are served: no batch is large, and the sets in use are always
// complete.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import { wholeDiffers } from '../../src/agent/poll.ts';
import { diff } from '../../src/dialects/delta.ts';
import type { Transaction } from '../../src/dialects/dialect.ts';
import { batchElements } from '../../src/dialects/nftables/portions.ts';
import type { Receipt } from '../../src/netlink/ack.ts';
import { cannotUnshare } from '../namespaces.ts';
import { bothFirewalls, lookedInto, nth, rulesOn, withPorts } from './both-firewalls.ts';
import { difference, found, hasTool, ownKernel, plain } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';

const skip = cannotUnshare() || hasTool('nft', '--version');
test('larger sets are filled in portions, and the sets in use keep exactly their elements meanwhile', {
  skip,
}, async () => {
  using own = ownKernel();
  const ledger = new Ledger();
  const seen: number[][] = [];
  let largest = 0;
  const commit = async <O>(transaction: Transaction<O>): Promise<Receipt<O>> => {
    const records = transaction.steps.flatMap((step) => step.records);
    const kinds = new Set(
      records.flatMap(({ objects }) => objects.map((one) => (one as { kind: string }).kind)),
    );
    for (const step of transaction.steps) {
      const elements = step.records.filter(({ stride }) => stride > 0);
      largest = Math.max(
        largest,
        elements.reduce((sum, { objects }) => sum + objects.length, 0),
      );
      const receipt = await own.kernel.commit({ ...transaction, steps: [step] });
      if (receipt.length > 0) return receipt;
      if (kinds.has('set') && ledger.committed.size > 0) seen.push(lookedInto(own));
    }
    return [];
  };
  const rules = rulesOf({ ledger, kernel: { commit, dump: (requests) => own.kernel.dump(requests) } });
  const put = async (count: number, ports: number): Promise<void> => {
    for (let n = 0; n < count; n++) ledger.wanted.set(nth(n), withPorts(n, ports));
    equal(await rules.commit(new Set(ledger.wanted.keys())), 'committed');
  };
  await rules.reconcile(true);
  await put(1000, 4);
  deepEqual(seen, []);
  await put(600, 11);
  ok(seen.length > 6, `${seen.length} steps`);
  for (const counts of seen) deepEqual(counts, [4000, 1000, 4000, 1000]);
  ok(largest < batchElements + 22, `${largest} elements in one batch`);
  deepEqual(lookedInto(own), [8200, 1000, 8200, 1000]);
  deepEqual(difference(await found(own, plain), rules.whole() as Awaited<ReturnType<typeof found>>), []);
});

for (const { firewall, counts, skip: without } of bothFirewalls)
  for (const when of ['at a start', 'before the first sync'])
    test(`${firewall.dialect.name}: sets that grow ${when} keep what only the kernel knows until the sync`, {
      skip: without,
    }, async () => {
      using own = ownKernel();
      const kept = Array.from({ length: 50 }, (_, n) => withPorts(n, 2));
      const coming = Array.from({ length: 1100 }, (_, n) => withPorts(1000 + n, 1));
      await rulesOn(own, firewall, kept).reconcile(true);
      deepEqual(counts(own), [100, 50, 100, 50]);
      const ledger = new Ledger();
      const rules = rulesOn(own, firewall, when === 'at a start' ? coming : [], ledger);
      await rules.reconcile(false);
      for (const one of coming) ledger.wanted.set(one.address, one);
      equal(await rules.commit(new Set(ledger.wanted.keys())), 'committed');
      deepEqual(counts(own), [1200, 1150, 1200, 1150]);
      equal(await wholeDiffers({ kernel: own.kernel, firewall, rules }), false);
      await rules.reconcile(true);
      deepEqual(counts(own), [1100, 1100, 1100, 1100]);
      const have = firewall.dialect.decode(await own.kernel.dump(firewall.dialect.dumps));
      deepEqual(diff(have, rules.whole()), { remove: [], add: [] });
    });
