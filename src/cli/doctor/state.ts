// Checks the current state of this host: conntrack, complaints in the kernel's log, saved firewalls, and an
// agent that runs or left its table.

import { processOf } from '../../agent/lock.ts';
import { tableOwner } from '../../dialects/nftables/decode.ts';
import { tableDump } from '../../dialects/nftables/dumps.ts';
import { bytesOf, type Machine, textAt } from './machine.ts';
import { type Check, ok, warn } from './report.ts';

export async function stateChecks(machine: Machine): Promise<Check[]> {
  // Current conditions come before the log of past ones.
  return [conntrackCheck(machine), savedCheck(machine), await agentCheck(machine), logCheck(machine)];
}

/** Above this share a burst can fill the table. */
const nearlyFull = 0.9;

function conntrackCheck(machine: Machine): Check {
  const folder = '/proc/sys/net/netfilter/nf_conntrack_';
  const part = { name: 'conntrack', how: `${folder}count and max`, option: 'CONFIG_NF_CONNTRACK' };
  const [count, most] = ['count', 'max'].map((name) => textAt(machine, folder + name));
  if (count === undefined || most === undefined)
    return ok({ ...part, found: 'not in use; vipward needs it only where a port is forwarded' });
  const found = `${Number(count)} of ${Number(most)} entries`;
  if (Number(count) < nearlyFull * Number(most)) return ok({ ...part, found });
  const next = 'new connections are dropped once it is full: raise net.netfilter.nf_conntrack_max';
  return warn({ ...part, found: `${found}: nearly full`, next });
}

/** From which Debian's and Red Hat's services load a firewall at boot. */
const savedFirewalls = [
  '/etc/nftables.conf',
  '/etc/sysconfig/nftables.conf',
  '/etc/iptables/rules.v4',
  '/etc/iptables/rules.v6',
  '/etc/sysconfig/iptables',
  '/etc/sysconfig/ip6tables',
];

/** A file with our rules may be refused whole: the sets that they name do not exist yet. */
function savedCheck(machine: Machine): Check {
  const part = { name: 'saved rules', how: savedFirewalls.join(', '), option: null };
  const found = savedFirewalls.filter((path) => textAt(machine, path)?.includes('vipward'));
  if (found.length === 0) return ok({ ...part, found: 'none of vipward' });
  const next =
    'remove what is of vipward there, or the next boot may refuse the file: the agent needs no copy';
  return warn({ ...part, found: `of vipward: ${found.join(', ')}`, next });
}

const recentSeconds = 86_400;
/** Kernel log messages and the step against each. */
const complaints: readonly (readonly [RegExp, string])[] = [
  [/nf_conntrack: .*table full/, 'raise net.netfilter.nf_conntrack_max'],
  [
    /neighbou?r(: \w+)?: .*overflow|[Nn]eighbour table overflow/,
    'raise net.ipv4.neigh.default.gc_thresh3 (and ipv6)',
  ],
  [
    /Set vipward-sent\d is full, maxelem/,
    'VIPs with egress get no answers at further ports: give egress to fewer, or spread them over nodes',
  ],
  // The sets of samples (--filter observe) have one size, and may be full.
  [/Set vipward-(?!seen|last)\S+ is full, maxelem/, 'raise --set-size, or leave it out so that sets grow'],
  [
    /\b(ip_set|\w+_tables|(xt|nft?)_\w+).*(nknown symbol|not found|cannot|ailed|disagrees)/,
    'a module of netfilter does not load: install the modules of the kernel that runs',
  ],
  [
    /request_module: .*(nf|xt|ip_set|ipt|nft)[-_]/,
    'the kernel requested a module and got none: see module loading',
  ],
];

function logCheck(machine: Machine): Check {
  const part = { name: 'kernel log', how: '/dev/kmsg', option: null };
  const lines = machine.log();
  if ('code' in lines) return ok({ ...part, found: `not read: ${lines.code}` });
  const nowSeconds = Number.parseFloat(textAt(machine, '/proc/uptime') ?? '0');
  for (const { text, atSeconds } of lines.toReversed()) {
    const agoSeconds = Math.max(0, Math.round(nowSeconds - atSeconds));
    if (agoSeconds > recentSeconds) break;
    const next = complaints.find(([pattern]) => pattern.test(text))?.[1];
    if (next !== undefined) return warn({ ...part, found: `${text} (${agoSeconds} s ago)`, next });
  }
  return ok({ ...part, found: 'nothing of netfilter within a day' });
}

async function agentCheck(machine: Machine): Promise<Check> {
  const part = { name: 'agent', how: 'the place of an agent, NFT_MSG_GETTABLE', option: null };
  const agent = await machine.agent();
  const owner = tableOwner(bytesOf(await machine.ask(tableDump())));
  if (agent !== undefined) return ok({ ...part, found: `runs here (${processOf(agent)})` });
  if (owner === undefined) return ok({ ...part, found: 'none runs here, and none has left a table' });
  if (owner === 0) {
    const next = 'start the agent, which takes it over; or remove it by `vipward cleanup`';
    return warn({
      ...part,
      found: 'none runs here, but table inet vipward of an earlier one is in force',
      next,
    });
  }
  const next = `end the process that owns it (usually PID ${owner}): no agent can change it until then`;
  return warn({
    ...part,
    found: `table inet vipward belongs to netlink port ${owner}, which is not an agent`,
    next,
  });
}
