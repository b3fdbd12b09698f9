// `explain` asks the kernel which rule decides about a packet, and which foreign chains it must still cross.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Explanation } from '../../src/agent/answers/explain.ts';
import { crossedBy, explain, foreignChains } from '../../src/agent/answers/explain.ts';
import type { Packet, Trace } from '../../src/dialects/dialect.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { tracer as nftablesTracer } from '../../src/dialects/nftables/trace.ts';
import { tracer as xtablesTracer } from '../../src/dialects/xtables/trace.ts';
import { parseAddress } from '../../src/state/address.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { lacks } from '../agent/life.ts';
import { nothing, stateOf } from '../dialects/arbitraries.ts';
import { cannotUnshare, runIn } from '../namespaces.ts';
import { isXtables } from './firewall.ts';
import { Node, skip as noNode } from './node.ts';
import { commit, everyFeature, hasTool, nft, ownKernel, plain, port, sources, vip } from './own-kernel.ts';
import { getJson } from './traffic.ts';

const skip = cannotUnshare();
const tcp = 6;
const udp = 17;

function packet(address: string, protocol: number, number: number, from?: string): Packet {
  const source = from === undefined ? null : parseAddress(from);
  return { address: parseAddress(address), protocol, port: number, from: source };
}

test('explain reads from nftables elements whether a packet passes, and by which rule', {
  skip,
}, async () => {
  using own = ownKernel();
  await commit(own, plain, nothing, nftables(plain).render(stateOf(everyFeature)));
  const of = async (asked: Packet): Promise<Trace> =>
    nftablesTracer.read(await own.kernel.ask(nftablesTracer.question(asked)), asked, false);
  const chain = 'egress4';
  for (const [asked, open, host, rule] of [
    [packet('10.50.0.1', tcp, 443), 'to all', false, `${chain}: { 10.50.0.1 . tcp . 443 } in @allow4`],
    [
      packet('10.50.0.1', udp, 53, '192.0.2.77'),
      'to its source',
      true,
      `${chain}: { 10.50.0.1 . udp . 53 . 192.0.2.0 } in @src4_24`,
    ],
    [
      packet('10.50.0.1', udp, 53, '198.51.100.7'),
      'to its source',
      true,
      `${chain}: { 10.50.0.1 . udp . 53 . 198.51.100.7 } in @src4_32`,
    ],
    [packet('10.50.0.1', udp, 53, '198.51.100.8'), null, true, `${chain}: ip daddr @drop4 drop`],
    [packet('10.50.0.1', udp, 53), null, true, `${chain}: ip daddr @drop4 drop`],
    [packet('10.50.0.1', udp, 443), null, false, `${chain}: ip daddr @drop4 drop`],
    [
      packet('fd00::1', tcp, 443, 'fd01::9'),
      'to its source',
      true,
      'guard6: { fd00::1 . tcp . 443 . fd01:: } in @src6_64',
    ],
    [packet('fd00::1', tcp, 443, 'fd02::9'), null, true, 'guard6: ip6 daddr @drop6 drop'],
  ] as const) {
    assert.deepEqual(await of(asked), { guarded: true, open, host, rule });
  }
  const elsewhere = packet('10.50.0.2', tcp, 443);
  assert.deepEqual(await of(elsewhere), { guarded: false, open: null, host: false, rule: null });
});

test('explain reads from ipset elements whether a packet passes, and by which rule', {
  skip: skip || lacks('ipset'),
}, async (t) => {
  using own = ownKernel();
  const { status, stderr } = runIn(
    own.namespace,
    ['ipset', 'restore'],
    `create vipward-vip4 hash:ip
create vipward-allow4 hash:ip,port
create vipward-host4 hash:ip,port
create vipward-src4 hash:ip,port,net
add vipward-vip4 10.50.0.1
add vipward-allow4 10.50.0.1,tcp:443
add vipward-host4 10.50.0.1,udp:53
add vipward-src4 10.50.0.1,udp:53,192.0.2.0/24
`,
  );
  if (status !== 0) return t.skip(`no ipset here: ${stderr}`);
  const of = async (asked: Packet, observe = false): Promise<Trace> =>
    xtablesTracer.read(await own.kernel.ask(xtablesTracer.question(asked)), asked, observe);
  for (const [asked, open, host, rule] of [
    [packet('10.50.0.1', tcp, 443), 'to all', false, 'vipward-guard: match-set vipward-allow4 dst,dst'],
    [
      packet('10.50.0.1', udp, 53, '192.0.2.77'),
      'to its source',
      true,
      'vipward-guard: match-set vipward-src4 dst,dst,src',
    ],
    [
      packet('10.50.0.1', udp, 53, '192.0.3.77'),
      null,
      true,
      'vipward-guard: match-set vipward-drop4 dst DROP',
    ],
    [packet('10.50.0.1', udp, 443), null, false, 'vipward-guard: match-set vipward-drop4 dst DROP'],
  ] as const) {
    assert.deepEqual(await of(asked), { guarded: true, open, host, rule });
  }
  assert.equal((await of(packet('10.50.0.2', tcp, 443))).guarded, false);
  assert.match((await of(packet('10.50.0.1', udp, 443), true)).rule ?? '', /RETURN$/);
});

test('explain believes the kernel where the wanted rules differ, and points to vipward diff', () => {
  const web = vip('10.50.0.1', [port(80), port(53, sources('192.0.2.0/24'))]);
  const asked = packet('10.50.0.1', tcp, 80);
  const of = (trace: Partial<Trace>, about: Packet = asked, known: VirtualIp | null = web): Explanation =>
    explain(about, {
      trace: { guarded: true, open: null, host: false, rule: 'rule', ...trace },
      vip: known ?? undefined,
      held: true,
      observe: false,
      foreign: [],
    });
  assert.deepEqual([of({}).verdict, /vipward diff/.test(of({}).reason)], ['drop', true]);
  assert.match(of({ guarded: false, rule: null }).reason, /vipward diff/);
  assert.match(of({ open: 'to all' }, packet('10.50.0.1', tcp, 81)).reason, /vipward diff/);
  assert.match(of({}, packet('10.50.0.1', tcp, 53, '192.0.2.7')).reason, /vipward diff/);
  assert.match(of({}, packet('10.50.0.1', tcp, 53, '192.0.3.7')).reason, /in none of loadBalancerSource/);
  assert.match(of({}, packet('10.50.0.1', tcp, 53)).reason, /open to 192\.0\.2\.0\/24 only; add --from/);
  assert.match(of({ guarded: false }, asked, null).reason, /not guarded here/);
  const onlyIPv4 = { vip: vip('fd50::1', [port(53, sources('192.0.2.0/24'))]), from: ['fd50::7', undefined] };
  for (const from of onlyIPv4.from)
    assert.match(
      of({}, packet('fd50::1', tcp, 53, from), onlyIPv4.vip).reason,
      /^loadBalancerSourceRanges names no range of IPv6, which closes the port to it$/,
    );
  assert.deepEqual(of({ open: 'to all' }).services, ['default/web']);
});

test('explain lists foreign chains that can drop in the order that a packet of the family meets them', {
  skip: skip || hasTool('nft', '--version') || lacks('iptables-legacy'),
}, async () => {
  using own = ownKernel();
  nft(
    own,
    ['-f', '-'],
    `table inet late { chain in { type filter hook input priority 10; policy drop; }; }
     table ip early { chain pre { type filter hook prerouting priority -5; udp dport 53 drop; }; }
     table ip harmless { chain pre { type filter hook prerouting priority -5; counter; }; }
     table ip6 six { chain pre { type filter hook prerouting priority -5; policy drop; }; }`,
  );
  const { status, stderr } = runIn(own.namespace, ['iptables-legacy', '-w', '-P', 'INPUT', 'DROP']);
  assert.equal(status, 0, stderr);
  const of = async (family: 4 | 6) =>
    crossedBy(await foreignChains(own.kernel), family).map((one) =>
      [one.family, one.table, one.hook, one.policy].join(' '),
    );
  // The list of tables is that of the namespace it was opened in.
  own.namespace.run(() => own.kernel.tables.open());
  assert.deepEqual(await of(4), [
    'ip early prerouting accept',
    'ip filter input drop',
    'inet late input drop',
  ]);
  assert.deepEqual(await of(6), ['ip6 six prerouting drop', 'inet late input drop']);
});

test('the agent explains a guarded port and lists the foreign chains that its packet still meets', {
  skip: noNode || hasTool('nft', '--version'),
}, async () => {
  const services = [
    { name: 'web', addresses: ['10.77.0.100'], ports: ['TCP 80'], sources: ['10.77.0.0/24'] },
    { name: 'dns', addresses: ['fd77::100'], ports: ['UDP 53'] },
  ];
  await using node = await Node.start({
    services,
    agentArgs: ['--allow', '10.77.0.0/24,fd77::/64,10.99.0.0/24'],
    controllerArgs: ['--pool', 'far=10.99.0.1'],
  });
  node.run('nft -f -', {
    input: 'table ip fw { chain in { type filter hook input priority 0; policy drop; iif lo accept; }; }',
  });
  const of = async (query: string): Promise<Explanation> =>
    (await getJson(node.node, `http://127.0.0.1:9471/explain?${query}`)) as Explanation;
  const rule = isXtables
    ? 'vipward-guard: match-set vipward-src4 dst,dst,src'
    : 'guard4: { 10.77.0.100 . tcp . 80 . 10.77.0.0 } in @src4_24';
  const inside = await of('address=10.77.0.100&port=80&from=10.77.0.9');
  assert.deepEqual([inside.verdict, inside.rule, inside.services], ['accept', rule, ['default/web']]);
  assert.deepEqual(inside.foreign, [
    { family: 'ip', table: 'fw', chain: 'in', hook: 'input', priority: 0, policy: 'drop' },
  ]);
  assert.equal((await of('address=10.77.0.100&port=80&from=10.88.0.2')).verdict, 'drop');
  assert.equal((await of('address=10.77.0.100&port=80')).verdict, 'drop');
  const dns = await of('address=fd77::100&port=53&protocol=UDP');
  assert.deepEqual([dns.verdict, dns.foreign], ['accept', []]);
  assert.equal((await of('address=fd77::100&port=53&protocol=TCP')).verdict, 'drop');
  assert.equal(dns.reason, 'a listener of the node may answer');
  // Every node has the rules of every VIP, also of those that it does not hold.
  node.writeServices([...services, { name: 'far', addresses: ['10.99.0.1'], ports: ['TCP 80'] }]);
  const farQuery = 'address=10.99.0.1&port=80';
  await node.until('the rules of a VIP elsewhere', async () => (await of(farQuery)).services.length > 0);
  const far = await of(farQuery);
  const where = 'this node does not hold 10.99.0.1; on the node that does, a listener may answer';
  assert.deepEqual([far.verdict, far.reason], ['accept', where]);
  const other = await of('address=10.77.0.1&port=22');
  assert.deepEqual([other.verdict, other.rule], ['accept', null]);
});
