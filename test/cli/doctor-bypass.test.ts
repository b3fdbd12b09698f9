// What the doctor makes of programs, interfaces, routes and sysctls that lead packets past the rules.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, message, put } from '../fake-kernel/bytes.ts';
import { hex } from '../netlink/captured.ts';
import { checked, link, machineOf, messages, rtMessage, type Told } from './doctor-machine.ts';

/** Message types of rtnetlink. */
const rt = {
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWQDISC: 36,
  GETQDISC: 38,
  NEWTFILTER: 44,
  GETTFILTER: 46,
};

test('programs and interfaces that bypass the rules are named', async () => {
  const links = [
    link(2, 'eth0', { xdp: true }),
    link(3, 'cilium_host', { kind: 'veth' }),
    link(4, 'pod1', { kind: 'netkit' }),
    link(5, 'blue', { kind: 'vrf' }),
    link(6, 'kube-ipvs0', { kind: 'dummy' }),
    link(7, 'eth1', { xdp: true }),
    link(8, 'pod2', { kind: 'netkit' }),
    link(9, 'bpfin.cali'),
  ];
  const flowtable = (table: string) => message({ type: 0xa16, sequence: 1 }, [put(1, table), put(2, 'fast')]);
  const { of } = await checked({
    answers: {
      [messages.links]: concat(links),
      [messages.flowtables]: concat(['fw', 'vipward', 'gw'].map(flowtable)),
    },
  });
  for (const [name, result, found] of [
    ['XDP', 'warn', 'a program on eth0, eth1'],
    ['eBPF data plane', 'warn', 'Cilium; Calico eBPF; netkit pod1, pod2'],
    ['VRF', 'ok', 'blue: packets that arrive there are filtered and counted twice'],
    ['IPVS', 'ok', '0 services, kube-ipvs0: IPVS takes packets at input 98, after the first guard'],
    ['flowtable', 'warn', 'inet fw fast, inet gw fast'],
  ] as const)
    assert.deepEqual([of(name).result, of(name).found], [result, found]);
  const harmless = ['xcilium_host', 'lxc_health2', 'xbpfin.cali', 'bpfin.calix'].map((name, index) =>
    link(index, name),
  );
  const answers = { [messages.flowtables]: flowtable('vipward'), [messages.links]: concat(harmless) };
  const other = await checked({ answers });
  assert.deepEqual(
    ['flowtable', 'eBPF data plane', 'IPVS'].map((name) => other.of(name).found),
    ['none', 'no interface of one', 'not in use'],
  );
});

/** Files of /proc/sys/net with 1 in them, unless it says another value. */
function on(...paths: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    paths.map((path) => {
      const [name = '', value = '1'] = path.split('=');
      return [`/proc/sys/net/${name}`, `${value}\n`];
    }),
  );
}

test('a sysctl for routing headers is a warning where it is on for all and for the interface', async () => {
  for (const [name, folder] of [
    ['accept_source_route', 'ipv4/conf'],
    ['seg6_enabled', 'ipv6/conf'],
    ['rpl_seg_enabled', 'ipv6/conf'],
  ] as const) {
    const at = (...links: readonly string[]) => {
      const paths = links.map((of) => `${folder}/${of.replace(/=|$/, `/${name}$&`)}`);
      return checked({ files: on(...paths) });
    };
    const { result, found, next } = (await at('all', 'default', 'eth0', 'eth1=0', 'eth2')).of(name);
    assert.deepEqual([result, found], ['warn', 'on: eth0, eth2']);
    assert.match(next, new RegExp(`^sysctl -w net\\.${folder.replace('/', '\\.')}\\.all\\.${name}=0: `));
    for (const links of [['all'], ['all', 'default', 'eth0=0'], ['eth0'], ['all=0', 'eth0']])
      assert.deepEqual([(await at(...links)).of(name).found, links], ['off', links]);
  }
});

test('source routes of IPv6 are no way past the rules, whatever the sysctl says', async () => {
  const files = on('ipv6/conf/all/accept_source_route', 'ipv6/conf/eth0/accept_source_route');
  assert.equal((await checked({ files })).of('accept_source_route').found, 'off');
});

test('the interfaces that take MPLS, and the services of IPVS, are named', async () => {
  const mpls = on('mpls/conf/eth0/input', 'mpls/conf/eth1/input=0', 'mpls/conf/lo/input');
  const ipvs = 'IP Virtual Server\nTCP  0A000001:0050 rr\n  -> TCP 0A000002:0050\nFWM  00000001 rr\n';
  const { of } = await checked({ files: { ...mpls, '/proc/net/ip_vs': ipvs } });
  assert.deepEqual([of('MPLS').result, of('MPLS').found], ['warn', 'on: eth0, lo']);
  assert.equal(of('IPVS').found, '2 services: IPVS takes packets at input 98, after the first guard');
});

/** struct tcmsg. */
function tcHeader(index: number): Uint8Array {
  const header = new Uint8Array(20);
  new DataView(header.buffer).setUint32(4, index, true);
  return header;
}

test('filters on incoming packets are asked for where they may be, and named by interface', async () => {
  const qdisc = (index: number, kind: string) => rtMessage(rt.NEWQDISC, tcHeader(index), [put(1, kind)]);
  const bpf = (name: string) =>
    rtMessage(rt.NEWTFILTER, tcHeader(2), [put(1, 'bpf'), put(2, [put(7, name)])]);
  const u32 = rtMessage(rt.NEWTFILTER, tcHeader(2), [put(1, 'u32'), put(2, [put(7, 'none')])]);
  const gone = rtMessage(rt.NEWTFILTER + 1, tcHeader(2), [put(1, 'flower')]);
  const qdiscs = [qdisc(2, 'clsact'), qdisc(3, 'ingress'), qdisc(4, 'fq'), gone];
  const told: Told = {
    answers: {
      [messages.links]: link(2, 'eth0'),
      [rt.GETQDISC]: concat(qdiscs),
      [rt.GETTFILTER]: concat([bpf('guard'), u32, u32, bpf(''), gone]),
    },
  };
  const asked: Uint8Array[] = [];
  const ask: Told['ask'] = (request) => {
    if ([rt.GETQDISC, rt.GETTFILTER].includes(request.bytes[4] ?? 0)) asked.push(request.bytes);
    return machineOf(told).ask(request);
  };
  const { result, found } = (await checked({ ...told, ask })).of('tc');
  assert.deepEqual([result, found], ['warn', 'eth0: bpf guard, u32, bpf; 3: bpf guard, u32, bpf']);
  assert.deepEqual(
    asked.map((bytes) => bytes.subarray(16)),
    [
      hex('00000000 00000000 00000000 00000000 00000000'),
      hex('00000000 02000000 00000000 f2ffffff 00000000'),
      hex('00000000 03000000 00000000 0000ffff 00000000'),
    ],
  );
  const none = { ...told.answers, [rt.GETTFILTER]: gone };
  assert.equal((await checked({ answers: none })).of('tc').found, 'no filter on incoming packets');
});

test('routes of SRv6 that unpack for this node are named with their action', async () => {
  const route = (
    { type = rt.NEWROUTE, encap = 7, length = 64 },
    action: number,
    to = put(1, hex('fc000001000000000000000000000000')),
  ) => {
    const header = Uint8Array.of(10, length, ...new Uint8Array(10));
    const how = [put(21, Uint8Array.of(encap, 0)), put(22, [put(1, Uint8Array.of(action, 0, 0, 0))])];
    return rtMessage(type, header, [to, ...how]);
  };
  const others = [
    route({}, 1),
    route({ encap: 5 }, 7),
    route({ type: rt.DELROUTE }, 7),
    route({}, 7, put(9, '')),
  ];
  const unpacking = [6, 7, 8, 16].map((action) => route({ length: action }, action));
  const named = async (routes: readonly Uint8Array[]) => {
    const { result, found } = (await checked({ answers: { [rt.GETROUTE]: concat(routes) } })).of('seg6local');
    return [result, found];
  };
  const all = [
    'End.DX4 at fc00:1::/6',
    'End.DT6 at fc00:1::/7',
    'End.DT4 at fc00:1::/8',
    'End.DT46 at fc00:1::/16',
  ];
  assert.deepEqual(await named([...others, ...unpacking]), ['warn', all.join(', ')]);
  assert.deepEqual(await named(others), ['ok', 'no route that unpacks for this node']);
  const asked: Uint8Array[] = [];
  const ask: Told['ask'] = (request) => {
    if (request.bytes[4] === rt.GETROUTE) asked.push(request.bytes);
    return machineOf({}).ask(request);
  };
  await checked({ ask });
  assert.deepEqual(asked, [hex(`1c000000 1a000103 01000000 00000000 0a${'00'.repeat(11)}`)]);
});
