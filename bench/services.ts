// The Services of a benchmark: one VIP each with two ports, and one more that is added, changed and removed.

import { Census } from '../src/agent/rules/census.ts';
import { sha256 } from '../src/controller/stream/table.ts';
import { canonicalJson, Digests } from '../src/protocol/digest.ts';
import type { ControllerMessage } from '../src/protocol/messages.ts';
import { pageServices } from '../src/protocol/messages.ts';
import { type Address, parseAddress } from '../src/state/address.ts';
import type { Needs } from '../src/state/desired-state.ts';
import { parsePort } from '../src/state/port.ts';
import { parseServiceKey } from '../src/state/service.ts';
import type { VirtualIp } from '../src/state/virtual-ip.ts';

/** The changes of that one Service, in this order, in each cycle. */
export const operations = ['add', 'change', 'remove'] as const;
export type Operation = (typeof operations)[number];

/** This many Services alternate, so that no two cycles in a row touch the same elements. */
const variantCount = 64;

export interface Variant {
  readonly added: VirtualIp;
  readonly changed: VirtualIp;
}

/** Service number `index`: 10.64.0.0/10 holds four million of them. */
function addressAt(index: number): Address {
  return parseAddress(`10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`);
}

function vipAt(index: number, ports: readonly number[] = [80, 443]): VirtualIp {
  const service = parseServiceKey(`bench/service-${index}`);
  return {
    address: addressAt(index),
    filtered: true,
    egress: false,
    ports: ports.map((port) => ({
      protocol: 'TCP' as const,
      port: parsePort(port),
      service,
      delivery: 'forward' as const,
      sources: null,
    })),
  };
}

export function vips(size: number): VirtualIp[] {
  return Array.from({ length: size }, (_, index) => vipAt(index));
}

/** The Services beyond a table of `size`; a change gives one of the two ports another number. */
export function variants(size: number): Variant[] {
  return Array.from({ length: variantCount }, (_, index) => ({
    added: vipAt(size + index),
    changed: vipAt(size + index, [80, 8443]),
  }));
}

/** The needs of the table by the agent's own census, so that the sets have the same sizes. */
export function needsOf(table: readonly VirtualIp[]): Needs {
  const census = new Census();
  for (const vip of table) census.set(vip.address, vip);
  return census.needs();
}

/** The frames with which a controller gives an empty agent a table. */
export function firstSync(table: readonly VirtualIp[]): ControllerMessage[] {
  const digests = new Digests(sha256);
  for (const vip of table) digests.set(vip, canonicalJson(vip));
  const pages: ControllerMessage[] = [];
  for (let start = 0; start < table.length; start += pageServices) {
    const set = table.slice(start, start + pageServices);
    pages.push({ type: 'page', table: 'rules', buckets: [], set });
  }
  const seq = 0;
  const empty = new Digests(sha256).total();
  return [
    { type: 'welcome', version: 'bench', features: [], cluster: 'bench', generation: 1, ruling: true },
    ...pages,
    { type: 'synced', table: 'rules', seq, count: table.length, digest: digests.total() },
    { type: 'synced', table: 'placements', seq, count: 0, digest: empty },
  ];
}
