// Checks whether the kernel answers for a VIP: sysctls that suppress answers for an address it has.

import { addressDump, decode } from '../../dialects/addresses/decode.ts';
import { linkDump, readLinks } from '../../dialects/addresses/links.ts';
import type { AddressObject } from '../../dialects/addresses/objects.ts';
import { answerQuestion, readOutgoing } from '../../dialects/addresses/routes.ts';
import { familyOf } from '../../state/address.ts';
import { bytesOf, type Machine, settings, textAt } from './machine.ts';
import { type Check, ok, warn } from './report.ts';

export async function answerChecks(machine: Machine): Promise<Check[]> {
  return [arpCheck(machine), await pathCheck(machine), familyCheck(machine)];
}

/** Values of arp_ignore: 3 ignores addresses of scope host, which ours have; 8 ignores all. */
const [notOfHost, nothing] = [3, 8];

/**
 * The kernel uses the greater value of `all` and the interface. With route_localnet on either one, scope host
 * counts as scope link.
 */
function arpCheck(machine: Machine): Check {
  const name = 'arp_ignore';
  const part = { name, how: `/proc/sys/net/ipv4/conf/*/{${name},route_localnet}`, option: null };
  const [ignored, local] = [name, 'route_localnet'].map((of) => settings(machine, 'ipv4', of));
  const either = (of: Map<string, number> | undefined, link: string): number =>
    Math.max(of?.get('all') ?? 0, of?.get(link) ?? 0);
  const isSilent = (link: string): boolean => {
    const value = either(ignored, link);
    return value === nothing || (value === notOfHost && either(local, link) === 0);
  };
  const links = linksOf(ignored);
  const silent = links.filter(isSilent);
  if (silent.length === 0) return ok({ ...part, found: 'ARP requests for an IPv4 VIP are answered' });
  const set = ['all', ...silent].filter((link) => (ignored?.get(link) ?? 0) >= notOfHost);
  const keys = set.map((link) => `net/ipv4/conf/${link}/${name}=1`);
  const places =
    `${set}` === 'all' && silent.length === links.length
      ? `${ignored?.get('all')} on all interfaces`
      : silent.map((link) => `${either(ignored, link)} on ${link}`).join(', ');
  const found = `${places}: ARP requests for an IPv4 VIP are not answered there`;
  return warn({ ...part, found, next: `sysctl -w ${keys.join(' ')}` });
}

/**
 * A strict filter drops packets whose answer would leave by another interface. The check covers only
 * interfaces with a VIP: for the others it is unknown whether packets from elsewhere arrive there.
 */
async function pathCheck(machine: Machine): Promise<Check> {
  const name = 'rp_filter';
  const part = { name, how: `/proc/sys/net/ipv4/conf/*/${name}, RTM_GETROUTE from a VIP`, option: null };
  const links = readLinks(bytesOf(await machine.ask(linkDump())));
  const nameOf = (index: number): string => links.find((link) => link.index === index)?.name ?? String(index);
  const values = settings(machine, 'ipv4', name);
  const found: string[] = [];
  const keys: string[] = [];
  for (const { interfaceIndex, address } of await placesOfVips(machine)) {
    const link = nameOf(interfaceIndex);
    if (Math.max(values.get('all') ?? 0, values.get(link) ?? 0) !== 1) continue;
    const way = readOutgoing(bytesOf(await machine.ask(answerQuestion(address))));
    if (way === undefined || way === interfaceIndex) continue;
    found.push(
      `strict on ${link}, which has ${address}, but its replies to other networks leave by ${nameOf(way)}`,
    );
    keys.push(`net/ipv4/conf/${link}/${name}=2`);
  }
  if (found.length === 0) return ok({ ...part, found: 'drops no packet to a VIP of this node' });
  const next = `sysctl -w ${keys.join(' ')}, or add a rule that routes replies out where the VIP is`;
  return warn({ ...part, found: found.join('; '), next });
}

/** One IPv4 VIP of each interface that has one. */
async function placesOfVips(machine: Machine): Promise<readonly AddressObject[]> {
  const { elements } = decode([bytesOf(await machine.ask(addressDump()))]);
  const vips = elements.filter(({ foreign, address }) => !foreign && familyOf(address) === 4);
  return [...new Map(vips.map((vip) => [vip.interfaceIndex, vip])).values()];
}

/** Never fails: an agent reports an IPv6 VIP that it cannot add, and a cluster may have none. */
function familyCheck(machine: Machine): Check {
  const name = 'disable_ipv6';
  const part = { name, how: `/proc/net/if_inet6, /proc/sys/net/ipv6/conf/*/${name}`, option: 'CONFIG_IPV6' };
  if (textAt(machine, '/proc/net/if_inet6') === undefined)
    return ok({ ...part, found: 'this kernel has no IPv6: this node can hold only IPv4 VIPs' });
  const values = settings(machine, 'ipv6', name);
  const off = linksOf(values).filter((link) => values.get(link) === 1);
  if (off.length === 0) return ok({ ...part, found: 'IPv6 is on' });
  return ok({ ...part, found: `IPv6 is off on ${off.join(', ')}: no IPv6 VIP can be there` });
}

function linksOf(values: ReadonlyMap<string, number> | undefined): string[] {
  return [...(values?.keys() ?? [])].filter((link) => !['all', 'default', 'lo'].includes(link));
}
