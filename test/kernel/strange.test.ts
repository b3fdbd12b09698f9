// Foreign objects in our table where it has no owner: which of them take the guard from a VIP, and which do
// not.
import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import type { Transaction } from '../../src/dialects/dialect.ts';
import type { Receipt } from '../../src/netlink/ack.ts';
import { cannotUnshare, runIn } from '../namespaces.ts';
import { hasTool, nft, type OwnKernel, ownKernel, port, vip } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';

const skip = cannotUnshare() || hasTool('nft', '--version');
const web = vip('10.50.0.1', [port(80)]);
const EBUSY = 16;

/** Sorted, because nft lists replaced objects last. */
function inOrder(text: string): string[] {
  return text.split('\n').sort();
}

/** Rules that know one VIP, and the addresses that they withdraw. */
function ruling(own: OwnKernel, refuses: () => boolean) {
  const ledger = new Ledger();
  const gone: string[] = [];
  const refused = [{ object: null, errno: EBUSY, words: '' }];
  const rules = rulesOf({
    ledger,
    kernel: {
      commit: <O>(transaction: Transaction<O>): Promise<Receipt<O>> | Receipt<O> =>
        refuses() ? refused : own.kernel.commit(transaction),
      dump: (requests) => own.kernel.dump(requests),
    },
    retain: async (isGuarded) => {
      if (!isGuarded(web.address)) gone.push(web.address);
    },
    withdraw: async (keys) => {
      gone.push(...keys);
    },
  });
  ledger.wanted.set(web.address, web);
  return { rules, gone };
}

for (const [what, lines, lost] of [
  [
    'a foreign base chain, map and set withdraw no address',
    [
      'add chain inet vipward theirs { type filter hook input priority 0; }',
      'add set inet vipward their { type ipv4_addr; }',
      'add chain inet vipward led',
      'add map inet vipward ways { type ipv4_addr : verdict; elements = { 192.0.2.9 : jump led } }',
    ],
    [],
  ],
  [
    'a foreign rule among ours withdraws the address',
    ['insert rule inet vipward guard4 accept'],
    [web.address],
  ],
  ['a missing rule of ours withdraws the address', ['flush chain inet vipward input4'], [web.address]],
] as const)
  test(`while the kernel refuses a repair, ${what}`, { skip }, async () => {
    using own = ownKernel();
    let refuses = false;
    const { rules, gone } = ruling(own, () => refuses);
    await rules.reconcile(true);
    nft(own, ['-f', '-'], `${lines.join('\n')}\n`);
    refuses = true;
    equal((await rules.reconcile(true)).outcome, 'unsure');
    deepEqual(gone, lost);
    refuses = false;
    equal((await rules.reconcile(true)).outcome, 'committed');
    doesNotMatch(nft(own, ['list', 'table', 'inet', 'vipward']), /their|led|ways/);
  });

test('an agent replaces a dormant table before the first sync', { skip }, async () => {
  using own = ownKernel();
  const { rules } = ruling(own, () => false);
  await rules.reconcile(true);
  const awake = nft(own, ['list', 'table', 'inet', 'vipward']);
  nft(own, ['add', 'table', 'inet', 'vipward', '{ flags dormant; }']);
  match(nft(own, ['list', 'table', 'inet', 'vipward']), /dormant/);
  const next = ruling(own, () => false);
  equal((await next.rules.reconcile(false)).outcome, 'committed');
  // Its address stays, because the VIP is wanted.
  deepEqual(next.gone, []);
  equal(nft(own, ['list', 'table', 'inet', 'vipward']), awake);
});

test('a nat chain in place of our filter chain sees only the first packet of a flow and guards no VIP', {
  skip,
}, async () => {
  using own = ownKernel();
  let refuses = false;
  const { rules, gone } = ruling(own, () => refuses);
  await rules.reconcile(true);
  const ours = nft(own, ['list', 'table', 'inet', 'vipward']);
  const theirs = ours.replaceAll('type filter hook input', 'type nat hook input');
  nft(own, ['-f', '-'], `delete table inet vipward\n${theirs}`);
  match(nft(own, ['list', 'table', 'inet', 'vipward']), /type nat hook input/);
  refuses = true;
  equal((await rules.reconcile(true)).outcome, 'unsure');
  deepEqual(gone, [web.address]);
  refuses = false;
  equal((await rules.reconcile(true)).outcome, 'committed');
  deepEqual(inOrder(nft(own, ['list', 'table', 'inet', 'vipward'])), inOrder(ours));
});

test('an interval set in place of one of ours guards no VIP, and the next repair restores ours', {
  skip,
}, async (t) => {
  using own = ownKernel();
  let refuses = false;
  const { rules, gone } = ruling(own, () => refuses);
  const listed = (): string => nft(own, ['list', 'table', 'inet', 'vipward']);
  await rules.reconcile(true);
  const ours = listed();
  const theirs = ours
    .replace(/set allow4 \{[^}]*?size/, (head) => head.replace('size', 'flags interval\n size'))
    .replace(/10\.50\.0\.1 \. tcp \. 80\b/, '10.50.0.1 . tcp . 80-90, 10.50.0.1 . tcp . 443');
  const { status, stderr } = runIn(own.namespace, ['nft', '-f', '-'], `delete table inet vipward\n${theirs}`);
  if (stderr.includes('not supported'))
    return t.skip(`this kernel refuses such a set of this nft: ${stderr}`);
  equal(status, 0, stderr);
  match(listed(), /flags interval[^}]*10\.50\.0\.1 \. tcp \. 80-90/);
  refuses = true;
  equal((await rules.reconcile(true)).outcome, 'unsure');
  deepEqual(gone, [web.address]);
  refuses = false;
  equal((await rules.reconcile(true)).outcome, 'committed');
  deepEqual(inOrder(listed()), inOrder(ours));
});
