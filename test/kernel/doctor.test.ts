// The doctor on the real kernel, run from the command line in a network namespace with faults made on
// purpose.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import type { Check, DoctorReport } from '../../src/cli/doctor/report.ts';
import { lacks } from '../agent/life.ts';
import { cannotUnshare, Namespace, runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { Node, skip as noNode } from './node.ts';
import { hasTool } from './own-kernel.ts';

const skip = cannotUnshare();
const withNft = { skip: skip || hasTool('nft', '--version') };
const withBoth = { skip: withNft.skip || lacks('iptables-legacy') || lacks('iptables-nft') };

interface Examined {
  readonly code: number | null;
  readonly report: DoctorReport;
  all(name: string): readonly Check[];
  of(name: string): Check;
}

function examine(namespace: Namespace, ...before: readonly string[]): Examined {
  const [first = '', ...rest] = [...before, process.execPath, program, 'doctor', '-o', 'json'];
  const { status, stdout, stderr } = runIn(namespace, [first, ...rest]);
  assert.equal(stderr, '');
  const report = JSON.parse(stdout) as DoctorReport;
  const all = (name: string) => report.checks.filter((check) => check.name === name);
  const of = (name: string): Check => {
    const [check] = all(name);
    assert.ok(check, `no check ${name}`);
    return check;
  };
  assert.equal(status, report.checks.some(({ result }) => result === 'fail') ? 1 : 0);
  return { code: status, report, all, of };
}

function run(namespace: Namespace, words: string): void {
  const [first = '', ...rest] = words.split(' ');
  const { status, stderr } = runIn(namespace, [first, ...rest]);
  assert.equal(status, 0, `${words}: ${stderr}`);
}

function nft(namespace: Namespace, text: string): void {
  const { status, stderr } = runIn(namespace, ['nft', '-f', '-'], text);
  assert.equal(status, 0, stderr);
}

/** The names of the xtables tables that exist, of both families. */
function tables(namespace: Namespace): string {
  const files = ['ip_tables_names', 'ip6_tables_names'].map((name) => `/proc/thread-self/net/${name}`);
  // A kernel has the file of a family only after it has loaded that family's tables.
  return namespace.run(() =>
    files.map((path) => (existsSync(path) ? readFileSync(path, 'utf8') : '')).join(''),
  );
}

test('the doctor fails nothing on a sound host and creates no xtables table', { skip }, () => {
  using host = Namespace.make();
  const { code, report, of } = examine(host);
  assert.equal(code, 0);
  assert.deepEqual([report.kernel, report.firewall], [release(), 'nftables']);
  assert.deepEqual(report.rules, { legacy: 0, nft: 0 });
  for (const name of ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'nf_tables', 'ipset', 'foreign chain', 'agent'])
    assert.equal(of(name).result, 'ok', name);
  for (const { name, found, how, next } of report.checks)
    assert.ok(found !== '' && how !== '' && next !== '', name);
  assert.equal(tables(host), '', 'the doctor creates no table');
});

test('the doctor fails a missing CAP_NET_ADMIN and makes it the next step', {
  skip: skip || lacks('setpriv'),
}, () => {
  using host = Namespace.make();
  const { code, report, of } = examine(host, 'setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin');
  assert.equal(code, 1);
  assert.deepEqual([of('CAP_NET_ADMIN').result, report.firewall], ['fail', null]);
  assert.equal(report.next, of('CAP_NET_ADMIN').next);
  assert.match(report.next, /NET_ADMIN/);
});

test('the doctor fails CAP_NET_ADMIN of a user namespace that does not own the network namespace', {
  skip: skip || lacks('unshare'),
}, () => {
  using host = Namespace.make();
  const { code, of } = examine(host, 'unshare', '-Ur');
  assert.equal(code, 1);
  assert.equal(of('CAP_NET_ADMIN').result, 'fail');
  assert.match(of('CAP_NET_ADMIN').found, /EPERM.*another user namespace/);
});

test('the doctor names routes of SRv6 that unpack packets for the node', {
  skip: skip || lacks('ip'),
}, (t) => {
  using host = Namespace.make();
  run(host, 'ip link add one type veth peer name two');
  run(host, 'ip link set one up');
  const add = (to: string, action: string): number | null =>
    runIn(host, `ip -6 route add ${to} encap seg6local action ${action} dev one`.split(' ') as [string])
      .status;
  if (add('fc00::1', 'End') !== 0) return t.skip('no seg6local');
  assert.equal(examine(host).of('seg6local').result, 'ok');
  // Its first attribute has the bytes of End.DT6.
  run(host, `ip -6 route add fc00::3 encap ip6 id ${7n << 56n} dst fc00::4 dev one`);
  assert.equal(add('fc00:1::/64', 'End.DT6 table 255'), 0);
  assert.equal(add('fc00::2', 'End.DX4 nh4 0.0.0.0'), 0);
  const { result, found } = examine(host).of('seg6local');
  assert.deepEqual([result, found], ['warn', 'End.DX4 at fc00::2/128, End.DT6 at fc00:1::/64']);
});

test(
  'the doctor counts the rules of iptables-legacy and iptables-nft and names the chains that drop',
  withBoth,
  () => {
    using host = Namespace.make();
    run(host, 'iptables-legacy -w -N LATER');
    run(host, 'iptables-legacy -w -A LATER -p tcp --dport 22 -j REJECT');
    run(host, 'iptables-legacy -w -A INPUT -j LATER');
    run(host, 'iptables-legacy -w -A FORWARD -m conntrack --ctstate INVALID -j DROP');
    run(host, 'ip6tables-legacy -w -P FORWARD DROP');
    run(host, 'iptables-legacy -w -t mangle -N KUBE-KUBELET-CANARY');
    run(host, 'iptables-nft -A INPUT -p tcp --dport 23 -j DROP');
    run(host, 'iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP');
    const { code, report, all, of } = examine(host);
    assert.equal(code, 0);
    assert.deepEqual(report.rules, { legacy: 3, nft: 2 });
    assert.match(of('iptables').found, /iptables-nft and iptables-legacy \(a hint of Kubernetes in mangle\)/);
    assert.deepEqual(
      all('foreign chain').map(({ found, result }) => `${result} ${found}`),
      [
        'warn ip filter INPUT (input, priority 0, nft): 1 rule drops',
        'warn ip filter INPUT (input, priority 0, iptables-legacy): 1 rule drops',
        'warn ip6 filter FORWARD (forward, priority 0, iptables-legacy): policy drop',
      ],
    );
    assert.match(all('foreign chain')[1]?.next ?? '', /iptables-legacy -t filter -S INPUT/);
  },
);

test(
  'the doctor names nftables chains that drop by policy or by a jump, not drops of invalid packets',
  withNft,
  () => {
    using host = Namespace.make();
    nft(
      host,
      `table inet fw {
      chain sub { udp dport 53 drop; }
      chain first { type filter hook prerouting priority 0; policy accept; jump sub; ct state invalid drop; }
      chain shut { type filter hook input priority 10; policy drop; }
      chain harmless { type filter hook forward priority 0; policy accept; ct state invalid drop; counter; }
      chain out { type filter hook output priority 0; policy drop; }
    }
    table inet vipward { chain prerouting { type filter hook prerouting priority 0; drop; }; }`,
    );
    const { report, all } = examine(host);
    assert.equal(report.rules.nft, 5);
    assert.deepEqual(
      all('foreign chain').map(({ found }) => found),
      [
        'inet fw first (prerouting, priority 0, nft): 1 rule drops',
        'inet fw shut (input, priority 10, nft): policy drop',
      ],
    );
  },
);

test('the doctor names ingress filters of tc by interface and kind', {
  skip: skip || hasTool('tc', '-V') || hasTool('ip', '-V'),
}, (t) => {
  using host = Namespace.make();
  run(host, 'ip link add outer type veth peer name inner');
  run(host, 'tc qdisc add dev outer clsact');
  run(host, 'tc qdisc add dev inner ingress');
  assert.equal(examine(host).of('tc').result, 'ok');
  const { status, stderr } = runIn(host, [
    ...(['tc', 'filter', 'add', 'dev', 'outer', 'ingress', 'u32', 'match', 'u32', '0', '0'] as const),
  ]);
  if (status !== 0) return t.skip(`this kernel has no u32 filter: ${stderr}`);
  run(host, 'tc filter add dev inner parent ffff: u32 match u32 0 0');
  const { result, found } = examine(host).of('tc');
  assert.deepEqual([result, found.split('; ').sort()], ['warn', ['inner: u32', 'outer: u32']]);
});

test('the doctor sees a running agent, and the table that a killed agent left', {
  skip: noNode,
}, async () => {
  await using node = await Node.start({
    services: [{ name: 'web', addresses: ['10.77.0.100'], ports: ['TCP 80'] }],
  });
  const running = examine(node.node);
  assert.deepEqual([running.code, running.of('agent').result], [0, 'ok']);
  assert.equal(running.of('agent').found, `runs here (pid ${node.agentPid})`);
  await node.killAgent('SIGKILL');
  const { report, of } = examine(node.node);
  const { result, found, next } = of('agent');
  assert.equal(report.next, next, 'whatever the kernel log holds');
  assert.equal(result, 'warn');
  assert.match(found, /table inet vipward of an earlier one is in force/);
  assert.match(next, /vipward cleanup/);
});
