// Checks for ways past our rules: eBPF programs before them, and VIP destinations set after them.

import { LinkAttribute, RouteAttribute, Message as RtMessage } from '../../dialects/addresses/constants.ts';
import { type Link, linkDump, readLinks } from '../../dialects/addresses/links.ts';
import type { DumpRequest } from '../../dialects/dialect.ts';
import { AF_INET6, NLM_F_DUMP } from '../../netlink/message.ts';
import { attributesOf, messagesOf, u16, u32 } from '../../netlink/reader.ts';
import { request } from '../../netlink/request.ts';
import { formatAddress } from '../../state/address.ts';
import { bytesOf, type Machine, type OrErrno, settings, textAt } from './machine.ts';
import { type Check, ok, warn } from './report.ts';

/** IFLA_XDP and IFLA_XDP_ATTACHED of linux/if_link.h. */
const IFLA_XDP = 43;
const IFLA_XDP_ATTACHED = 2;
const RTM_NEWQDISC = 36;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_NAME = 7;
/** The parents of ingress filters: of a clsact, and of an ingress qdisc (linux/pkt_sched.h). */
const CLSACT_INGRESS = 0xfffffff2;
const TC_H_INGRESS = 0xffff0000;
/** RTA_ENCAP_TYPE and RTA_ENCAP of linux/rtnetlink.h. */
const RTA_ENCAP_TYPE = 21;
const RTA_ENCAP = 22;
const LWTUNNEL_ENCAP_SEG6_LOCAL = 7;
const SEG6_LOCAL_ACTION = 1;
const linkHeaderBytes = 16;
const routeHeaderBytes = 12;
/** struct tcmsg: family, interface at 4, handle, parent, info. */
const tcHeaderBytes = 20;

/** The actions of linux/seg6_local.h that deliver what they unpack to the node itself. */
const unpacking: Readonly<Record<number, string>> = { 6: 'DX4', 7: 'DT6', 8: 'DT4', 16: 'DT46' };

/** The interfaces that a CNI's eBPF data plane creates. */
const planes: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['Cilium', /^cilium_|^lxc_health$/],
  ['Calico eBPF', /^bpf(in|out)\.cali$/],
];

export async function bypassChecks(machine: Machine): Promise<Check[]> {
  const reply = bytesOf(await machine.ask(linkDump()));
  const links = readLinks(reply);
  return [
    xdpCheck(reply),
    await tcCheck(machine, links),
    planeCheck(links),
    ipvsCheck(machine, links),
    sourceRoutingCheck(machine),
    segmentCheck(machine, 'seg6_enabled'),
    segmentCheck(machine, 'rpl_seg_enabled'),
    await unpackingCheck(machine),
    mplsCheck(machine),
    vrfCheck(links),
  ];
}

function xdpCheck(reply: Uint8Array): Check {
  const part = { name: 'XDP', how: 'IFLA_XDP of RTM_GETLINK', option: null };
  const names = [...messagesOf(reply)].flatMap(({ type, payload }) => {
    if (type !== RtMessage.NEWLINK) return [];
    const attributes = attributesOf(payload, linkHeaderBytes);
    const attached = attributes.nest(IFLA_XDP).bytes(IFLA_XDP_ATTACHED)[0] ?? 0;
    return attached === 0 ? [] : [attributes.text(LinkAttribute.IFNAME)];
  });
  if (names.length === 0) return ok({ ...part, found: 'no program on any interface' });
  const next = 'check what it answers or forwards: it runs before every firewall of the kernel';
  return warn({ ...part, found: `a program on ${names.join(', ')}`, next });
}

/** rtnetlink does not show programs attached by tcx or to a netkit; planeCheck() goes by interface names. */
async function tcCheck(machine: Machine, links: readonly Link[]): Promise<Check> {
  const how = 'RTM_GETQDISC, RTM_GETTFILTER; these do not list filters attached by tcx';
  const part = { name: 'tc', how, option: null };
  const found: string[] = [];
  for (const { index, parent } of readIngress(await machine.ask(tcDump(RTM_GETQDISC, 0, 0)))) {
    const name = links.find((link) => link.index === index)?.name ?? String(index);
    const answer = await machine.ask(tcDump(RTM_GETTFILTER, index, parent));
    const filters = new Set(readFilters(answer));
    if (filters.size > 0) found.push(`${name}: ${[...filters].join(', ')}`);
  }
  if (found.length === 0) return ok({ ...part, found: 'no filter on incoming packets' });
  const next = 'check where it redirects packets: a redirected packet bypasses netfilter';
  return warn({ ...part, found: found.join('; '), next });
}

function* readIngress(reply: OrErrno<Uint8Array>): Generator<{ index: number; parent: number }> {
  for (const { type, payload } of messagesOf(bytesOf(reply))) {
    if (type !== RTM_NEWQDISC) continue;
    const kind = attributesOf(payload, tcHeaderBytes).text(TCA_KIND);
    if (kind === 'clsact') yield { index: u32(payload, 4), parent: CLSACT_INGRESS };
    if (kind === 'ingress') yield { index: u32(payload, 4), parent: TC_H_INGRESS };
  }
}

function* readFilters(reply: OrErrno<Uint8Array>): Generator<string> {
  for (const { type, payload } of messagesOf(bytesOf(reply))) {
    if (type !== RTM_NEWTFILTER) continue;
    const attributes = attributesOf(payload, tcHeaderBytes);
    const options = attributes.nest(TCA_OPTIONS);
    const kind = attributes.text(TCA_KIND);
    const name = kind === 'bpf' ? options.text(TCA_BPF_NAME) : '';
    yield name === '' ? kind : `${kind} ${name}`;
  }
}

function tcDump(type: number, index: number, parent: number): DumpRequest {
  const bytes = request(type, NLM_F_DUMP, (writer) => {
    for (const word of [0, index, 0, parent, 0]) writer.u32(word);
  });
  return { door: 'rtnetlink', bytes };
}

function planeCheck(links: readonly Link[]): Check {
  const part = { name: 'eBPF data plane', how: 'names and kinds of interfaces (RTM_GETLINK)', option: null };
  const found = planes
    .filter(([, pattern]) => links.some(({ name }) => pattern.test(name)))
    .map(([name]) => name);
  const netkits = links.filter(({ kind }) => kind === 'netkit').map(({ name }) => name);
  if (netkits.length > 0) found.push(`netkit ${netkits.join(', ')}`);
  if (found.length === 0) return ok({ ...part, found: 'no interface of one' });
  const next = 'if it replaces kube-proxy, it handles packets before netfilter: exclude VIPs from it';
  return warn({ ...part, found: found.join('; '), next });
}

function ipvsCheck(machine: Machine, links: readonly Link[]): Check {
  const part = { name: 'IPVS', how: 'kube-ipvs0, /proc/net/ip_vs', option: null };
  const services = (textAt(machine, '/proc/net/ip_vs') ?? '').match(/^(TCP|UDP|SCTP|FWM) /gm) ?? [];
  const isProxy = links.some(({ name }) => name === 'kube-ipvs0');
  if (!isProxy && services.length === 0) return ok({ ...part, found: 'not in use' });
  const proxy = isProxy ? ', kube-ipvs0' : '';
  const found = `${services.length} services${proxy}: IPVS takes packets at input 98, after the first guard`;
  return ok({ ...part, found });
}

/** No kernel follows source routes of IPv6 (type 0), whatever the sysctl of the same name says. */
function sourceRoutingCheck(machine: Machine): Check {
  const name = 'accept_source_route';
  const part = { name, how: `/proc/sys/net/ipv4/conf/*/${name}`, option: null };
  const links = linksWith(machine, 'ipv4', name);
  if (links.length === 0) return ok({ ...part, found: 'off' });
  const next = `sysctl -w net.ipv4.conf.all.${name}=0: a source route may name a VIP as a later hop`;
  return warn({ ...part, found: `on: ${links.join(', ')}`, next });
}

/** Routing headers of type 4 (SRv6) and type 3 (RPL). */
function segmentCheck(machine: Machine, name: 'seg6_enabled' | 'rpl_seg_enabled'): Check {
  const part = { name, how: `/proc/sys/net/ipv6/conf/*/${name}`, option: null };
  const links = linksWith(machine, 'ipv6', name);
  if (links.length === 0) return ok({ ...part, found: 'off' });
  const next = `sysctl -w net.ipv6.conf.all.${name}=0: its last segment may be a VIP, unread by the guard`;
  return warn({ ...part, found: `on: ${links.join(', ')}`, next });
}

/** The interfaces with a sysctl that the kernel needs on `all` and on the interface. */
function linksWith(machine: Machine, version: 'ipv4' | 'ipv6', name: string): string[] {
  const values = settings(machine, version, name);
  if (values.get('all') !== 1) return [];
  return [...values].flatMap(([link, value]) => {
    return value === 1 && link !== 'all' && link !== 'default' ? [link] : [];
  });
}

/** Such a route needs no seg6_enabled: what it unpacks has no routing header of its own. */
async function unpackingCheck(machine: Machine): Promise<Check> {
  const part = { name: 'seg6local', how: 'RTA_ENCAP of RTM_GETROUTE', option: null };
  const bytes = request(RtMessage.GETROUTE, NLM_F_DUMP, (writer) => {
    writer.raw(Uint8Array.of(AF_INET6, ...new Uint8Array(routeHeaderBytes - 1)));
  });
  const found = [...readUnpacking(await machine.ask({ door: 'rtnetlink', bytes }))];
  if (found.length === 0) return ok({ ...part, found: 'no route that unpacks for this node' });
  const next =
    'check its table or next hop: a VIP there is reached by packets that the first guard never read';
  return warn({ ...part, found: found.join(', '), next });
}

function* readUnpacking(reply: OrErrno<Uint8Array>): Generator<string> {
  for (const { type, payload } of messagesOf(bytesOf(reply))) {
    if (type !== RtMessage.NEWROUTE) continue;
    const attributes = attributesOf(payload, routeHeaderBytes);
    if (u16(attributes.bytes(RTA_ENCAP_TYPE)) !== LWTUNNEL_ENCAP_SEG6_LOCAL) continue;
    const action = unpacking[u32(attributes.nest(RTA_ENCAP).bytes(SEG6_LOCAL_ACTION))];
    const to = attributes.get(RouteAttribute.DST);
    if (action !== undefined && to !== undefined) yield `End.${action} at ${formatAddress(to)}/${payload[1]}`;
  }
}

/** A packet whose label ends at lo comes in again by lo, where both guards believe a source of this node. */
function mplsCheck(machine: Machine): Check {
  const part = { name: 'MPLS', how: '/proc/sys/net/mpls/conf/*/input', option: null };
  const links = [...settings(machine, 'mpls', 'input')].filter(([, on]) => on === 1).map(([link]) => link);
  if (links.length === 0) return ok({ ...part, found: 'off' });
  const next = 'check ip -f mpls route: a label that ends at lo lets a forged source past the guard';
  return warn({ ...part, found: `on: ${links.join(', ')}`, next });
}

function vrfCheck(links: readonly Link[]): Check {
  const part = { name: 'VRF', how: 'kinds of interfaces (RTM_GETLINK)', option: null };
  const names = links.filter(({ kind }) => kind === 'vrf').map(({ name }) => name);
  if (names.length === 0) return ok({ ...part, found: 'none' });
  const found = `${names.join(', ')}: packets that arrive there are filtered and counted twice`;
  return ok({ ...part, found });
}
