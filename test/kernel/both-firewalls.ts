// Both firewalls on a test's own kernel, driven by Rules that know only the wanted VIPs, and counts of the
// elements in their sets.
import { equal } from 'node:assert/strict';
import type { Firewall } from '../../src/agent/firewall/firewall.ts';
import { nftablesFirewall } from '../../src/agent/firewall/nftables.ts';
import { xtablesFirewall } from '../../src/agent/firewall/xtables.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import type { Rules } from '../../src/agent/rules/rules.ts';
import { type Address, formatAddress } from '../../src/state/address.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { cannotUnshare } from '../namespaces.ts';
import { capabilities, hasTool, nft, type OwnKernel, port, vip } from './own-kernel.ts';
import { rulesOf } from './own-rules.ts';
import { run, plain as xtPlain, skip as xtSkip } from './own-xtables.ts';

const skip = cannotUnshare() || hasTool('nft', '--version');

export function nth(n: number): Address {
  return formatAddress(Uint8Array.of(10, 50, n >> 8, n & 255));
}

export function withPorts(n: number, count: number, first = 80): VirtualIp {
  return vip(
    nth(n),
    Array.from({ length: count }, (_, index) => port(first + index, { delivery: 'host' })),
  );
}

/** The number of elements in each set that the rules of these chains look up. */
export function lookedInto(own: OwnKernel): number[] {
  const chains = ['prerouting', 'guard4', 'input4'].map((name) =>
    nft(own, ['list', 'chain', 'inet', 'vipward', name]),
  );
  const names = new Set(
    [...chains.join('').matchAll(/@((?:vip|drop|allow|host)4)/gi)].map(([, name]) => name),
  );
  equal(names.size, 4);
  return [...names]
    .map(
      (name) => [`${name}`.toLowerCase(), nft(own, ['list', 'set', 'inet', 'vipward', `${name}`])] as const,
    )
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, text]) => [...text.matchAll(/10\.50\./g)].length);
}

const { places, fragments, localAddresses } = xtPlain;
const ordinary = { counters: false, echo: true, observe: false };

export interface OfBoth {
  readonly firewall: Firewall;
  readonly skip: string | false;
  /** The number of elements in allow4, drop4, host4 and vip4. */
  readonly counts: (own: OwnKernel) => number[];
}

/** Both firewalls, with options of an agent. */
export function firewallsWith(more: Partial<typeof ordinary>): OfBoth[] {
  const options = { ...ordinary, ...more, owner: false };
  const choice = { name: 'xtables', places, fragments, localAddresses, shortfalls: [] } as const;
  return [
    {
      firewall: nftablesFirewall(capabilities, { ...options, wish: 'nftables' }),
      skip,
      counts: lookedInto,
    },
    {
      firewall: xtablesFirewall(choice, { ...options, wish: 'xtables' }),
      skip: skip || xtSkip,
      counts: (own) =>
        ['allow4', 'drop4', 'host4', 'vip4'].map(
          (set) => run(own, `ipset save vipward-${set}`).split('\nadd ').length - 1,
        ),
    },
  ];
}

export const bothFirewalls: readonly OfBoth[] = firewallsWith({});

/** Rules that know only the wanted VIPs. */
export function rulesOn(
  { kernel }: OwnKernel,
  firewall: Firewall,
  vips: readonly VirtualIp[],
  ledger: Ledger = new Ledger(),
): Rules {
  for (const one of vips) ledger.wanted.set(one.address, one);
  return rulesOf({ kernel, firewall, ledger });
}
