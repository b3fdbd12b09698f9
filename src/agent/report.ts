// The status report of the agent: every VIP with its state and reason, as `status` prints it and `/status`
// serves it.

import type { RefusalCode } from '../protocol/messages.ts';
import { type Address, compareAddresses } from '../state/address.ts';
import type { Term } from '../state/term.ts';
import { servicesOf, type VipPort } from '../state/virtual-ip.ts';
import type { VipCounters } from './firewall/firewall.ts';
import type { Ledger } from './ledger.ts';
import type { Stream } from './stream/stream.ts';

/** The state of a VIP on this node; docs/operating.md says what each means. */
export const VipState = {
  pending: 'pending',
  serving: 'serving',
  refused: 'refused',
  released: 'released',
} as const;
export type VipState = (typeof VipState)[keyof typeof VipState];

export interface VipReport {
  readonly address: Address;
  readonly held: boolean;
  readonly term: Term | null;
  readonly state: VipState;
  /** Empty unless the VIP is refused. */
  readonly reason: RefusalCode | '';
  /** The reason as a sentence; for a pending VIP, what it waits for. */
  readonly message: string;
  /** False if its Services opted out of the filter: then the VIP is open on every port. */
  readonly filtered: boolean;
  readonly services: readonly string[];
  readonly ports: readonly (Pick<VipPort, 'protocol' | 'port'> & { readonly packets: number | null })[];
  readonly dropped: number | null;
}

export interface NodeReport {
  readonly node: string;
  readonly version: string;
  readonly firewall: string;
  readonly filter: string;
  /** True only when everything received is committed. */
  readonly inSync: boolean;
  readonly cluster: string | null;
  readonly generation: number;
  readonly controllers: readonly { readonly url: string; readonly state: string; readonly reason: string }[];
  /** Problems that concern the whole agent and no single VIP. */
  readonly problems: readonly string[];
  readonly vips: readonly VipReport[];
}

/** The sources of a VIP's state. */
export interface Known {
  readonly ledger: Ledger;
  /** Whether a held VIP is usable and announced. */
  readonly isUsable: (key: Address) => boolean;
}

/**
 * Reports the VIPs of a ledger in the order of their addresses. Counters that could not be read are null.
 * `obstacle` says what a pending VIP waits for, or is empty.
 */
export function vipReports(
  known: Known,
  counters: ReadonlyMap<Address, VipCounters>,
  obstacle: (key: Address) => string,
): VipReport[] {
  return [...vipKeys(known.ledger)].sort(compareAddresses).map((key) => {
    const report = vipReport(known, key, counters.get(key));
    return report.state === 'pending' ? { ...report, message: obstacle(key) } : report;
  });
}

/** Every VIP that the agent knows, refused ones included. */
export function vipKeys(ledger: Ledger): Set<Address> {
  const keys = ledger.keys();
  for (const { key } of ledger.refusals) keys.add(key);
  return keys;
}

export function controllerReports(streams: readonly Stream[]): NodeReport['controllers'] {
  return streams.map(({ url, state, reason }) => ({ url, state, reason }));
}

function vipReport(known: Known, key: Address, counters: VipCounters | undefined): VipReport {
  const { ledger } = known;
  const vip = ledger.committed.get(key) ?? ledger.wanted.get(key);
  const refusal = ledger.refusal('rules', key) ?? ledger.refusal('placements', key);
  return {
    address: key,
    held: ledger.held.has(key),
    term: ledger.placed.get(key)?.term ?? null,
    state: stateOf(known, key),
    reason: refusal?.code ?? '',
    message: refusal?.reason ?? '',
    filtered: vip?.filtered ?? true,
    services: [...new Set([...(vip === undefined ? [] : servicesOf(vip)), ...(refusal?.services ?? [])])],
    ports: (vip?.ports ?? []).map(({ protocol, port }, index) => {
      return { protocol, port, packets: counters?.ports[index] ?? null };
    }),
    dropped: counters?.dropped ?? null,
  };
}

export function stateOf({ ledger, isUsable }: Known, key: Address): VipState {
  if (ledger.refusal('rules', key) !== undefined || ledger.refusal('placements', key) !== undefined)
    return 'refused';
  if (ledger.held.has(key) && ledger.committed.has(key)) return isUsable(key) ? 'serving' : 'pending';
  return ledger.placed.has(key) || !ledger.committed.has(key) ? 'pending' : 'released';
}
