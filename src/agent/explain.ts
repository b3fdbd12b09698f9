// Would this packet pass here, and which rule says so: the rules of the table, followed by hand over
// committed state.

import type { ForeignChain } from '../dialects/nftables/foreign.ts';
import { type Address, familyOf, prefixContains } from '../state/address.ts';
import type { Port, Protocol } from '../state/port.ts';
import type { VirtualIp } from '../state/virtual-ip.ts';

export interface Packet {
  readonly address: Address;
  readonly port: Port;
  readonly protocol: Protocol;
  readonly from: Address | null;
}

export interface Explanation {
  readonly verdict: 'accept' | 'drop';
  /** The rule in the words of nft; null for an address that is not guarded. */
  readonly rule: string | null;
  readonly reason: string;
  readonly services: readonly string[];
  /** Base chains of others that the packet would still cross, and could be dropped by. */
  readonly foreign: readonly ForeignChain[];
}

export function explain(
  packet: Packet,
  {
    vip,
    observe,
    foreign,
  }: { vip: VirtualIp | undefined; observe: boolean; foreign: readonly ForeignChain[] },
): Explanation {
  const answer = (
    verdict: 'accept' | 'drop',
    rule: string | null,
    reason: string,
    services: readonly string[],
  ) => {
    return { verdict, rule, reason, services, foreign };
  };
  if (vip === undefined) return answer('accept', null, `${packet.address} is not guarded here`, []);
  if (!vip.filtered)
    return answer('accept', null, `the Services on ${packet.address} have opted out of filtering`, []);
  const family = familyOf(packet.address);
  const key = `${packet.address} . ${packet.protocol.toLowerCase()} . ${packet.port}`;
  const port = vip.ports.find(
    (declared) => declared.port === packet.port && declared.protocol === packet.protocol,
  );
  const daddr = family === 4 ? 'ip daddr' : 'ip6 daddr';
  const dropRule = `guard${family}: ${daddr} @drop${family} ${observe ? 'accept' : 'drop'}`;
  const shut = (reason: string, services: readonly string[]) =>
    answer(
      observe ? 'accept' : 'drop',
      dropRule,
      observe ? `${reason}; counted only (--filter observe)` : reason,
      services,
    );
  if (port === undefined) return shut(`${key} is declared by no Service`, []);
  const services = [port.service];
  const behind =
    port.delivery === 'host' ? 'a listener of the node may answer' : 'only a DNAT rule takes it further';
  if (port.sources === null)
    return answer('accept', `guard${family}: { ${key} } in @allow${family}`, behind, services);
  if (packet.from === null) {
    return shut(
      `${key} is open to ${port.sources.join(', ') || 'nobody'} only; say --from ADDRESS`,
      services,
    );
  }
  const from = packet.from;
  const range = port.sources.find((prefix) => prefixContains(prefix, from));
  if (range === undefined) return shut(`${from} is in none of loadBalancerSourceRanges`, services);
  return answer(
    'accept',
    `guard${family}: { ${key} . ${range} } in @src${family}_${range.split('/')[1]}`,
    behind,
    services,
  );
}
