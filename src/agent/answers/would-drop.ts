// The packets that `--filter observe` let through and `enforce` would drop, for `status --would-drop` and
// `/would-drop`.

import type { Sample } from '../../dialects/dialect.ts';
import type { Kernel } from '../../host/kernel.ts';
import { type Address, compareAddresses, familyOf } from '../../state/address.ts';
import { protocolText } from '../../state/port.ts';
import type { AgentValues } from '../config.ts';
import type { Firewall } from '../firewall/firewall.ts';

export interface WouldDropReport {
  readonly filter: AgentValues['filter'];
  /** The number of samples that the kernel keeps per address family. */
  readonly capacity: number;
  /** There may be more samples than listed; `dropped` of `status` counts all packets. */
  readonly full: boolean;
  readonly samples: readonly {
    readonly vip: Address;
    readonly source: Address;
    /** `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, or the number of another protocol. */
    readonly protocol: string;
    /** 0 where the protocol has no ports. */
    readonly port: number;
    readonly packets: number;
    /** In ISO 8601. */
    readonly lastSeen: string;
  }[];
}

/** Protocols that no Service declares, by number. */
const names: Readonly<Record<number, string>> = { 1: 'ICMP', 58: 'ICMPv6' };

/** Sorted by VIP, then by packets, most first. Throws SystemCallError. */
export async function wouldDrop(
  kernel: Kernel,
  { sampler }: Firewall,
  { filter, nowMs }: { readonly filter: AgentValues['filter']; readonly nowMs: number },
): Promise<WouldDropReport> {
  const found = filter === 'observe' ? sampler.read(await kernel.dump(sampler.dumps)) : [];
  const of = (family: 4 | 6) => found.filter(({ vip }) => familyOf(vip) === family).length;
  return {
    filter,
    capacity: sampler.capacity,
    full: Math.max(of(4), of(6)) >= sampler.capacity,
    samples: found.sort(compare).map(({ vip, source, protocol, port, packets, idleMs }) => ({
      vip,
      source,
      protocol: nameOf(protocol),
      port,
      packets,
      lastSeen: new Date(nowMs - idleMs).toISOString(),
    })),
  };
}

function nameOf(protocol: number): string {
  return names[protocol] ?? protocolText(protocol).toUpperCase();
}

function compare(a: Sample, b: Sample): number {
  return (
    compareAddresses(a.vip, b.vip) ||
    b.packets - a.packets ||
    compareAddresses(a.source, b.source) ||
    a.protocol - b.protocol ||
    a.port - b.port
  );
}
