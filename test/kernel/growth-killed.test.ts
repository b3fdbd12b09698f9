// The agent is killed while it enlarges sets: the next one keeps no address that the kernel no longer guards.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import type { RulesParts } from '../../src/agent/rules/rules.ts';
import type { Address } from '../../src/state/address.ts';
import { cannotUnshare } from '../namespaces.ts';
import { nth, withPorts } from './both-firewalls.ts';
import { hasTool, nft, type OwnKernel, ownKernel } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';

const skip = cannotUnshare() || hasTool('nft', '--version');
const count = 1000;

/** Enlarges all sets, and is killed after `last` steps. Returns the number of all steps. */
async function growingUntil(own: OwnKernel, last: number): Promise<number> {
  const ledger = new Ledger();
  let steps = 0;
  const commit: OwnKernel['kernel']['commit'] = async (transaction) => {
    if (ledger.committed.size < count) return await own.kernel.commit(transaction);
    steps = transaction.steps.length;
    const receipt = await own.kernel.commit({ ...transaction, steps: transaction.steps.slice(0, last) });
    deepEqual(receipt, []);
    throw new Error('killed');
  };
  const rules = rulesOf({ ledger, kernel: { commit, dump: (requests) => own.kernel.dump(requests) } });
  await rules.reconcile(true);
  const put = async (vips: number): Promise<void> => {
    for (let n = 0; n < vips; n++) ledger.wanted.set(nth(n), withPorts(n, 4));
    await rules.commit(new Set(ledger.wanted.keys()));
  };
  await put(count);
  await put(2 * count).catch(() => {});
  return steps;
}

test('after a kill at any step of enlarging sets, exactly the addresses in the gate stay held', {
  skip,
}, async () => {
  const kept: number[] = [];
  for (let last = 0, steps = 1; last < steps; last++) {
    using own = ownKernel();
    steps = await growingUntil(own, last);
    let isToStay: (key: Address) => boolean = () => true;
    const retain: RulesParts['retain'] = async (stays) => {
      isToStay = stays;
    };
    await rulesOf({ kernel: own.kernel, ledger: new Ledger(), retain }).reconcile(false);
    const gate = nft(own, ['list', 'set', 'inet', 'vipward', 'vip4']);
    const guarded = new Set(gate.match(/10\.50\.\d+\.\d+/g));
    const staying = Array.from({ length: count }, (_, n) => nth(n)).filter((key) => isToStay(key));
    deepEqual(
      staying.filter((key) => !guarded.has(key)),
      [],
      `after ${last} steps`,
    );
    equal(staying.length, guarded.size, `after ${last} steps`);
    kept.push(staying.length);
  }
  equal(kept[0], count);
  ok(Math.min(...kept) < count, `${kept}`);
});
