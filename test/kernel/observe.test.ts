// `--filter observe` drops nothing and counts what enforce would drop by source and port; a change to enforce
// and back costs a declared port no packet.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WouldDropReport } from '../../src/agent/answers/would-drop.ts';
import { commitsOf, prober, socketsOf, uncounted } from '../agent/life.ts';
import { seriesValue } from '../metrics-page.ts';
import { isXtables } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { getJson, getText, type Probe, sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const dns: Service = {
  name: 'dns',
  addresses: vips,
  ports: ['UDP 53', 'TCP 443'],
  annotations: { delivery: 'host' },
};
const web: Service = {
  name: 'web',
  addresses: ['10.77.0.101'],
  ports: ['TCP 80'],
  annotations: { delivery: 'forward' },
};
const observing = { services: [dns, web], agentArgs: ['--filter', 'observe'] };
/** Ports that no Service declares: 15 of each protocol, to two VIPs each. Every second one has a listener. */
const closed = Array.from({ length: 30 }, (_, index) => {
  return { protocol: index % 2 === 0 ? ('tcp' as const) : ('udp' as const), port: 7000 + 13 * index, index };
});

test('observe answers 60 probes of closed ports as without a filter and counts each by source and port', {
  skip: skip || uncounted,
}, async () => {
  await using node = await Node.start(observing);
  using sockets = socketsOf(node);
  await listen(node);
  const without = await probeAll(node, ['10.77.0.1', 'fd77::1']);
  assert.ok(
    without.includes('open') && without.includes('refused'),
    'some ports have a listener, and some refuse',
  );
  await using commits = await commitsOf(node, sockets);
  assert.deepEqual(await probeAll(node, vips), without);
  await node.until('60 samples', async () => (await wouldDrop(node)).samples.length >= 60);
  const { filter, full, samples } = await wouldDrop(node);
  assert.deepEqual([filter, full], ['observe', false]);
  const counted = samples.map(({ vip, source, protocol, port }) => `${vip} ${source} ${protocol} ${port}`);
  const sources: Record<string, string> = { '10.77.0.100': '10.77.0.9', 'fd77::100': 'fd77::9' };
  const sent = vips.flatMap((vip) =>
    closed.map(({ protocol, port }) => `${vip} ${sources[vip]} ${protocol.toUpperCase()} ${port}`),
  );
  assert.equal(sent.length, 60);
  assert.deepEqual(counted.sort(), sent.sort());
  assert.ok(samples.every(({ packets, lastSeen }) => packets > 0 && Date.parse(lastSeen) <= Date.now()));
  const { vips: held } = await node.counted();
  for (const vip of vips) {
    const packets = samples.filter((sample) => sample.vip === vip).map((sample) => sample.packets);
    const total = packets.reduce((sum, one) => sum + one, 0);
    assert.equal(held.find(({ address }) => address === vip)?.dropped, total, 'the VIP counts the same');
  }
  const page = await getText(node.node, 'http://127.0.0.1:9471/metrics');
  const all = samples.reduce((sum, { packets }) => sum + packets, 0);
  assert.equal(seriesValue(page, 'vipward_dropped_packets_total'), all);
  assert.match(page, /^# HELP vipward_dropped_packets_total .* only counted with --filter observe$/m);
  assert.equal(await commits.count(), 0, 'a sample is no commit');
  assert.equal(await differs(node), false, 'a sample is no drift');
});

test('observe samples ICMP, protocols without ports, and packets that only the second guard would drop', {
  skip,
}, async () => {
  await using node = await Node.start(observing);
  const [gre, icmp, icmp6] = [47, 1, 58];
  const [timestamp, information] = [Uint8Array.of(13, 0, 0xf2, 0xff), Uint8Array.of(15, 0, 0xf0, 0xff)];
  for (const head of [timestamp, information])
    sendRaw(node.client, icmp, vips[0] ?? '', Uint8Array.of(...head, ...new Uint8Array(16)));
  sendRaw(node.client, icmp6, vips[1] ?? '', Uint8Array.of(200, ...new Uint8Array(7)));
  sendRaw(node.client, gre, vips[1] ?? '', new Uint8Array(4));
  assert.equal(await node.probe('tcp', '10.77.0.101', 80), 'refused');
  await node.until('the samples', async () => {
    const { samples } = await wouldDrop(node);
    return samples.reduce((sum, { packets }) => sum + packets, 0) === 5;
  });
  assert.deepEqual(
    (await wouldDrop(node)).samples.map(({ vip, protocol, port, packets }) => [vip, protocol, port, packets]),
    [
      ['10.77.0.100', 'ICMP', 0, 2],
      ['10.77.0.101', 'TCP', 80, 1],
      ['fd77::100', '47', 0, 1],
      ['fd77::100', 'ICMPv6', 0, 1],
    ],
  );
});

test('a change from observe to enforce or back is one transaction, and no declared port loses a packet', {
  skip,
}, async () => {
  await using node = await Node.start(observing);
  using sockets = socketsOf(node);
  await listen(node);
  await node.listen(node.node, 'udp', 53);
  const probers = await Promise.all(vips.map((vip) => prober(node, vip, 53)));
  const open = await probeAll(node, vips);
  for (const [filter, want] of [
    ['enforce', open.map(() => 'closed')],
    ['observe', open],
  ] as const) {
    const before = await sockets.generation();
    await node.killAgent('SIGTERM');
    node.startAgent(['--filter', filter]);
    await node.settled(observing.services);
    if (!isXtables) assert.equal(await sockets.generation(), before + 1, `to ${filter}`);
    assert.deepEqual(await probeAll(node, vips), want, filter);
    assert.equal((await wouldDrop(node)).samples.length, filter === 'observe' ? 60 : 0);
    assert.equal(await differs(node), false, filter);
  }
  for (const one of probers) {
    assert.ok(one.sent > 0);
    assert.equal(await one.lost(), 0);
  }
});

async function listen(node: Node): Promise<void> {
  for (const { protocol, port, index } of closed) {
    if (protocol === 'udp' || index % 4 === 0) await node.listen(node.node, protocol, port);
  }
}

async function probeAll(node: Node, hosts: readonly string[]): Promise<Probe[]> {
  return await Promise.all(
    hosts.flatMap((host) => closed.map(({ protocol, port }) => node.probe(protocol, host, port))),
  );
}

async function wouldDrop(node: Node): Promise<WouldDropReport> {
  return (await getJson(node.node, 'http://127.0.0.1:9471/would-drop')) as WouldDropReport;
}

async function differs(node: Node): Promise<boolean> {
  const answer = (await getJson(node.node, 'http://127.0.0.1:9471/diff')) as { readonly differs: boolean };
  return answer.differs;
}
