// Says whether a packet would pass and which rule decides: what the kernel holds, beside what it should hold.

import { accessSync, constants } from 'node:fs';
import type { Packet, Trace } from '../../dialects/dialect.ts';
import { chainDump, ruleDump } from '../../dialects/nftables/dumps.ts';
import { type ForeignChain, readForeign } from '../../dialects/nftables/foreign.ts';
import { readDropping } from '../../dialects/nftables/foreign-rules.ts';
import { legacyDumps, readLegacy } from '../../dialects/xtables/foreign.ts';
import type { Kernel } from '../../host/kernel.ts';
import { familyOf, prefixContains } from '../../state/address.ts';
import { protocolNumbers, protocolText } from '../../state/port.ts';
import type { VipPort, VirtualIp } from '../../state/virtual-ip.ts';

export interface Explanation {
  readonly verdict: 'accept' | 'drop';
  /** The rule in the syntax of nft or iptables; null for an address that is not guarded. */
  readonly rule: string | null;
  readonly reason: string;
  readonly services: readonly string[];
  /** Foreign base chains that the packet still crosses and that could drop it. */
  readonly foreign: readonly ForeignChain[];
}

const hookOrder = ['ingress', 'prerouting', 'input', 'forward'];
/**
 * With more foreign rules than this only chains are read: reading all rules would delay a commit too long.
 */
const mostRules = 20_000;
const drift = 'the kernel differs from the desired state: see vipward diff';

/** Foreign chains that can drop a packet. Throws SystemCallError. */
export async function foreignChains(kernel: Kernel): Promise<ForeignChain[]> {
  const chains = await kernel.ask(chainDump());
  const all = readForeign(chains);
  const nft = all.rules > mostRules ? all.chains : readDropping(chains, await kernel.ask(ruleDump())).chains;
  // If the list of tables cannot be read, no table is asked for: asking would create it.
  const legacy = isReadable('/proc/net/ip_tables_names') ? readLegacy(await kernel.dump(legacyDumps())) : [];
  return [...nft, ...legacy.flatMap((table) => table.chains)];
}

/** The chains that a packet of a family crosses, in the order in which it meets them. */
export function crossedBy(chains: readonly ForeignChain[], packetFamily: 4 | 6): ForeignChain[] {
  const others = packetFamily === 4 ? ['ip6', 'arp'] : ['ip', 'arp'];
  return chains
    .filter((chain) => !others.includes(chain.family))
    .map(({ family, table, chain, hook, priority, policy }) => {
      return { family, table, chain, hook, priority, policy };
    })
    .sort((a, b) => hookOrder.indexOf(a.hook) - hookOrder.indexOf(b.hook) || a.priority - b.priority);
}

export function explain(
  packet: Packet,
  {
    trace,
    vip,
    held,
    observe,
    foreign,
  }: {
    readonly trace: Trace;
    readonly vip: VirtualIp | undefined;
    /** Whether this node holds the VIP; it has the rules of all. */
    readonly held: boolean;
    readonly observe: boolean;
    readonly foreign: readonly ForeignChain[];
  },
): Explanation {
  const { protocol, port: number } = packet;
  const declared = vip?.ports.find(
    (port) => port.port === number && protocolNumbers[port.protocol] === protocol,
  );
  const services = declared === undefined ? [] : [declared.service];
  if (!trace.guarded) {
    const reason = whyUnguarded(packet, vip);
    return { verdict: 'accept', rule: null, reason, services: [], foreign };
  }
  if (trace.open !== null) {
    const reason = declared === undefined ? drift : whatAnswers(packet, { held, host: trace.host });
    return { verdict: 'accept', rule: trace.rule, reason, services, foreign };
  }
  const why =
    declared === undefined ? `${keyText(packet)} is declared by no Service` : whyShut(declared, packet);
  const reason = observe ? `${why}; counted only (--filter observe)` : why;
  return { verdict: observe ? 'accept' : 'drop', rule: trace.rule, reason, services, foreign };
}

function whatAnswers({ address }: Packet, { held, host }: { held: boolean; host: boolean }): string {
  if (!host) return 'only a DNAT rule takes it further';
  if (held) return 'a listener of the node may answer';
  return `this node does not hold ${address}; on the node that does, a listener may answer`;
}

function keyText({ address, protocol, port }: Packet): string {
  return `${address} . ${protocolText(protocol)} . ${port}`;
}

function whyUnguarded({ address }: Packet, vip: VirtualIp | undefined): string {
  if (vip === undefined) return `${address} is not guarded here`;
  return vip.filtered ? drift : `the Services on ${address} have opted out of filtering`;
}

function whyShut({ sources }: VipPort, { address, from }: Packet): string {
  if (sources === null) return drift;
  const family = familyOf(address);
  if (sources.every((prefix) => familyOf(prefix) !== family))
    return `loadBalancerSourceRanges names no range of IPv${family}, which closes the port to it`;
  if (from === null) return `open to ${sources.join(', ')} only; add --from ADDRESS`;
  const isIn = sources.some((prefix) => prefixContains(prefix, from));
  return isIn ? drift : `${from} is in none of loadBalancerSourceRanges`;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
