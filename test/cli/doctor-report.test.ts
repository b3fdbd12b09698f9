// The whole report of the doctor: what each check says on a good host, and its text for people.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { reportText } from '../../src/cli/doctor.ts';
import { checked } from './doctor-machine.ts';

const eitherWorks = 'either works: the table of vipward runs first, and only restricts';

/** Name, what was found, how, and the option of the kernel. */
const good: readonly (readonly [string, string, string, string | null])[] = [
  [
    'CAP_NET_ADMIN',
    'the kernel takes changes from this process',
    'RTM_DELADDR on an interface that is not there, NFT_MSG_GETGEN',
    null,
  ],
  ['CAP_NET_RAW', 'raw sockets can be opened', 'socket(AF_INET, SOCK_RAW)', null],
  [
    'nf_tables',
    'works; the agent can lock its table against other processes (flags owner, persist)',
    'a batch without an end: table inet, flags owner and persist, a counting set',
    'CONFIG_NF_TABLES',
  ],
  [
    'xtables raw',
    'iptable_raw is in the kernel; ip6table_raw is in the kernel',
    '/proc/net/ip_tables_names and ip6_tables_names, GET_REVISION; GET_INFO where that makes no table',
    'CONFIG_IP_NF_RAW',
  ],
  ['set match', 'revision 4', 'IPT_SO_GET_REVISION_MATCH of set, revision 4', 'CONFIG_NETFILTER_XT_SET'],
  [
    'ipset',
    'hash:ip, hash:ip,port, hash:ip,port,net',
    'IPSET_CMD_TYPE of each type that is used',
    'CONFIG_IP_SET',
  ],
  [
    'module loading',
    'the kernel loads modules on demand, except ip_tables and ip6_tables',
    'modules_disabled and modprobe of /proc/sys/kernel, /proc/modules',
    'CONFIG_MODULES',
  ],
  [
    'foreign chain',
    'no foreign rule can drop incoming packets',
    'NFT_MSG_GETCHAIN, NFT_MSG_GETRULE; GET_ENTRIES of the tables that are there',
    null,
  ],
  [
    'iptables',
    `neither iptables-nft nor iptables-legacy; ${eitherWorks}`,
    'base chains and KUBE-IPTABLES-HINT, KUBE-KUBELET-CANARY in nf_tables and in the tables of xtables',
    null,
  ],
  ['flowtable', 'none', 'NFT_MSG_GETFLOWTABLE', null],
  ['XDP', 'no program on any interface', 'IFLA_XDP of RTM_GETLINK', null],
  [
    'tc',
    'no filter on incoming packets',
    'RTM_GETQDISC, RTM_GETTFILTER; these do not list filters attached by tcx',
    null,
  ],
  ['eBPF data plane', 'no interface of one', 'names and kinds of interfaces (RTM_GETLINK)', null],
  ['IPVS', 'not in use', 'kube-ipvs0, /proc/net/ip_vs', null],
  ['accept_source_route', 'off', '/proc/sys/net/ipv4/conf/*/accept_source_route', null],
  ['seg6_enabled', 'off', '/proc/sys/net/ipv6/conf/*/seg6_enabled', null],
  ['rpl_seg_enabled', 'off', '/proc/sys/net/ipv6/conf/*/rpl_seg_enabled', null],
  ['seg6local', 'no route that unpacks for this node', 'RTA_ENCAP of RTM_GETROUTE', null],
  ['MPLS', 'off', '/proc/sys/net/mpls/conf/*/input', null],
  ['VRF', 'none', 'kinds of interfaces (RTM_GETLINK)', null],
  [
    'arp_ignore',
    'ARP requests for an IPv4 VIP are answered',
    '/proc/sys/net/ipv4/conf/*/{arp_ignore,route_localnet}',
    null,
  ],
  [
    'rp_filter',
    'drops no packet to a VIP of this node',
    '/proc/sys/net/ipv4/conf/*/rp_filter, RTM_GETROUTE from a VIP',
    null,
  ],
  ['disable_ipv6', 'IPv6 is on', '/proc/net/if_inet6, /proc/sys/net/ipv6/conf/*/disable_ipv6', 'CONFIG_IPV6'],
  [
    'conntrack',
    'not in use; vipward needs it only where a port is forwarded',
    '/proc/sys/net/netfilter/nf_conntrack_count and max',
    'CONFIG_NF_CONNTRACK',
  ],
  [
    'saved rules',
    'none of vipward',
    '/etc/nftables.conf, /etc/sysconfig/nftables.conf, /etc/iptables/rules.v4, /etc/iptables/rules.v6, ' +
      '/etc/sysconfig/iptables, /etc/sysconfig/ip6tables',
    null,
  ],
  ['agent', 'none runs here, and none has left a table', 'the place of an agent, NFT_MSG_GETTABLE', null],
  ['kernel log', 'nothing of netfilter within a day', '/dev/kmsg', null],
];

test('on a good host every check is ok, nftables is chosen, and there is nothing to do', async () => {
  const { report } = await checked({});
  assert.deepEqual(
    report.checks.map(({ name, found, how, option }) => [name, found, how, option]),
    good,
  );
  assert.ok(report.checks.every(({ result }) => result === 'ok'));
  assert.deepEqual(
    [report.kernel, report.firewall, report.rules, report.next],
    ['6.1.0-test', 'nftables', { legacy: 0, nft: 0 }, 'nothing to do'],
  );
});

test('docs/operating.md lists exactly the checks', () => {
  const page = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8');
  const [, table = ''] = /^\| check .*\n\| -.*\n((?:\| .*\n)*)/m.exec(page) ?? [];
  const cells = [...table.matchAll(/^\| (`.*?) +\|/gm)].map(([, cell = '']) => cell);
  const listed = cells.flatMap((cell) => [...cell.matchAll(/`(.*?)`/g)].map(([, name]) => name));
  // The check of all xtables is made only where something of it is missing.
  assert.deepEqual(listed.toSorted(), ['xtables', ...good.map(([name]) => name)].toSorted());
});

test('the report for people has a table, the step against each finding, and the next one', () => {
  const how = 'a file';
  const checks = [
    { name: 'one', result: 'ok', found: 'all\n', how, option: null, next: 'none' },
    { name: 'two', result: 'warn', found: 'less', how, option: 'CONFIG_TWO', next: 'get two\n' },
    { name: 'three', result: 'fail', found: 'none', how, option: null, next: 'get three' },
  ] as const;
  const report = {
    kernel: '6.1\n',
    firewall: null,
    checks,
    rules: { legacy: null, nft: 3 },
    next: 'get three\n',
  };
  const steps = ['', '  warn two: get two?', '  fail three: get three', ''];
  const lines = (rows: readonly string[], of: string) =>
    [...rows, '', `foreign rules: ${of}`, ...steps, 'next: get three?', ''].join('\n');
  assert.equal(
    reportText(report, 'table'),
    lines(
      [
        'kernel 6.1?, firewall none',
        '',
        'CHECK  RESULT  FOUND',
        'one    ok      all?',
        'two    warn    less',
        'three  fail    none',
      ],
      '3 in nf_tables, not known in xtables',
    ),
  );
  assert.equal(
    reportText({ ...report, firewall: 'xtables', rules: { legacy: 4, nft: null } }, 'wide'),
    lines(
      [
        'kernel 6.1?, firewall xtables',
        '',
        'CHECK  RESULT  FOUND  OPTION      HOW',
        'one    ok      all?   -           a file',
        'two    warn    less   CONFIG_TWO  a file',
        'three  fail    none   -           a file',
      ],
      'not known in nf_tables, 4 in xtables',
    ),
  );
  const quiet = { ...report, checks: [checks[0]], next: 'none' };
  assert.match(reportText(quiet, 'table'), /not known in xtables\n\nnext: none\n$/);
});
