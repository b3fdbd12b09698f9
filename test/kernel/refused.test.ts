// VIPs that the kernel refuses, among many that it accepts: each is named, and none keeps the others out.
import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../src/agent/ledger.ts';
import { Census } from '../../src/agent/rules/census.ts';
import { type Address, formatAddress } from '../../src/state/address.ts';
import { servicesOf, type VipPort, type VirtualIp } from '../../src/state/virtual-ip.ts';
import { cannotUnshare } from '../namespaces.ts';
import { difference, found, nft, type OwnKernel, ownKernel, plain, port, vip } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';

const skip = cannotUnshare();
const setSize = 64;

const nth = (n: number): Address => formatAddress(Uint8Array.of(10, 50, n >> 8, n & 255));

const ports = (count: number): VipPort[] => Array.from({ length: count }, (_, index) => port(1000 + index));

/** More ports than any set has room for. */
const tooLarge = (n: number): VirtualIp => vip(nth(n), ports(setSize + 1));

function fixture(own: OwnKernel, size = setSize) {
  const ledger = new Ledger();
  const withdrawn: Address[] = [];
  const rules = rulesOf({
    kernel: own.kernel,
    ledger,
    census: new Census(size),
    refuse: (key, services, reason) =>
      ledger.refuse({ table: 'rules', key, services, reason, code: 'KernelRefused' }),
    withdraw: async (keys) => {
      withdrawn.push(...keys);
    },
  });
  const want = (vips: readonly VirtualIp[]): Set<Address> => {
    for (const one of vips) ledger.wanted.set(one.address, one);
    return new Set(vips.map(({ address }) => address));
  };
  /** The kernel holds what the ledger says, and that is all of these and nothing else. */
  const holds = async (vips: readonly VirtualIp[]): Promise<void> => {
    deepEqual([...ledger.committed.keys()].sort(), vips.map(({ address }) => address).sort());
    deepEqual(difference(await found(own, plain), rules.whole() as Awaited<ReturnType<typeof found>>), []);
  };
  return { ledger, rules, want, holds, withdrawn };
}

const bad = Array.from({ length: 20 }, (_, index) => tooLarge(index * 2));
const good = Array.from({ length: 20 }, (_, index) => vip(nth(index * 2 + 1), [port(80)]));
const mixed = [...bad, ...good].toSorted((a, b) => (a.address < b.address ? -1 : 1));

function allNamed(ledger: Ledger): void {
  deepEqual(ledger.refusals.map(({ key }) => key).sort(), bad.map(({ address }) => address).sort());
  for (const { reason, services, key } of ledger.refusals) {
    match(reason, /ENFILE.*\(.*allow4/);
    const wanted = ledger.wanted.get(key);
    deepEqual(services, wanted && servicesOf(wanted));
  }
}

test('of forty VIPs in one commit the twenty that fit are committed and the others are named', {
  skip,
}, async () => {
  using own = ownKernel();
  const { ledger, rules, want, holds } = fixture(own);
  await rules.reconcile(true);
  equal(await rules.commit(want(mixed)), 'committed');
  allNamed(ledger);
  await holds(good);
});

test('of forty VIPs that are missing at a start the twenty that fit are committed, the others named', {
  skip,
}, async () => {
  using own = ownKernel();
  const { ledger, rules, want, holds } = fixture(own);
  want(mixed);
  equal((await rules.reconcile(true)).outcome, 'committed');
  allNamed(ledger);
  await holds(good);
});

test('a repair beside refused VIPs restores the declared rules and withdraws only the unguarded address', {
  skip,
}, async () => {
  using own = ownKernel();
  const { ledger, rules, want, holds, withdrawn } = fixture(own);
  await rules.reconcile(true);
  await rules.commit(want(good));
  nft(own, ['delete', 'element', 'inet', 'vipward', 'vip4', '{ 10.50.0.1 }']);
  want(bad);
  equal((await rules.reconcile(true)).outcome, 'committed');
  allNamed(ledger);
  await holds(good);
  equal(withdrawn.includes(nth(1)), true, 'the unguarded VIP is withdrawn');
  equal(withdrawn.includes(nth(3)), false, 'a guarded VIP is not withdrawn');
});

test('after a flush a VIP whose change was refused is committed as it was before the change', {
  skip,
}, async () => {
  using own = ownKernel();
  const { ledger, rules, want, holds } = fixture(own);
  const [first] = good;
  await rules.reconcile(true);
  await rules.commit(want(good));
  await rules.commit(want([{ ...tooLarge(1), address: nth(1) }]));
  equal(ledger.refusal('rules', nth(1))?.code, 'KernelRefused');
  equal(ledger.committed.get(nth(1)), first);
  nft(own, ['flush', 'ruleset']);
  want(bad);
  equal((await rules.reconcile(true)).outcome, 'committed');
  await holds(good);
  equal(ledger.committed.get(nth(1)), first);
});

test('one refused VIP among thousands changes nothing for the VIPs after it', { skip }, async () => {
  using own = ownKernel();
  const { ledger, rules, want, holds } = fixture(own, 3000);
  await rules.reconcile(true);
  const many = Array.from({ length: 2400 }, (_, n) => vip(nth(n), [port(80, { delivery: 'host' })]));
  // It is in the second thousand, and the third is prepared before the kernel refuses it: the table must have
  // what another VIP needs of it, and nothing that only the refused one needs.
  const [large, forwarded] = [1500, 2200];
  many[large] = vip(nth(large), ports(1700), { egress: true });
  many[forwarded] = vip(nth(forwarded), [port(80)]);
  equal(await rules.commit(want(many)), 'committed');
  deepEqual(
    ledger.refusals.map(({ key }) => key),
    [nth(large)],
  );
  await holds(many.toSpliced(large, 1));
  equal(
    rules.constants().some(({ id }) => id.includes('egress')),
    false,
  );
});
