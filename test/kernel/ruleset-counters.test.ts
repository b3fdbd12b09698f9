// What packets of a real client count, read by counters.ts: drops by VIP, accepts by port, each packet once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counterQuestion, readCounters } from '../../src/dialects/nftables/counters.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import type { ElementObject } from '../../src/dialects/nftables/objects.ts';
import type { NftOptions } from '../../src/dialects/nftables/ruleset.ts';
import { sampler } from '../../src/dialects/nftables/samples.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { needsOf, nothing, roomy, stateOf } from '../dialects/arbitraries.ts';
import { cannotUnshare, Namespace, runIn } from '../namespaces.ts';
import {
  commit,
  difference,
  found,
  hasTool,
  type OwnKernel,
  ownKernel,
  plain,
  port,
  vip,
} from './own-kernel.ts';
import { sendRaw } from './traffic.ts';

const skip = cannotUnshare() || hasTool('ip', '-V') || hasTool('bash', '--version');
const counting: NftOptions = { ...plain, counters: true };
const address = '10.50.0.1';
const address6 = 'fd00::1';
const gre = 47;
const host = { protocol: 'UDP', delivery: 'host' } as const;
const guarded = [vip(address, [port(53, host)]), vip(address6, [port(53, host)])];

test('dropped and accepted packets are counted by VIP and by port', { skip }, async () => {
  using node = ownKernel();
  using client = clientOf(node);
  await load(node, counting, guarded);
  for (const to of [address, address6]) {
    send(client, to, 53, 2);
    send(client, to, 9, 3);
  }
  assert.deepEqual(await counts(node, counting, guarded), {
    'allow4 10.50.0.1 17 53': 2,
    'allow6 fd000000000000000000000000000001 17 53': 2,
    'drop4 10.50.0.1': 3,
    'drop6 fd000000000000000000000000000001': 3,
  });
});

test('without --counters a port has no count, and not a count of 0', { skip }, async () => {
  using node = ownKernel();
  await load(node, plain, guarded);
  const keys = Object.keys(await counts(node, plain, guarded));
  assert.deepEqual(keys, ['drop4 10.50.0.1', 'drop6 fd000000000000000000000000000001']);
});

test('observe lets a packet in and counts it as one that would be dropped, once', {
  skip,
}, async () => {
  using node = ownKernel();
  using client = clientOf(node);
  const options = { ...plain, observe: true };
  await load(node, options, guarded);
  send(client, address, 9, 3);
  const { 'drop4 10.50.0.1': drops } = await counts(node, options, guarded);
  assert.equal(drops, 3);
});

test('observe samples what would be dropped, by source, protocol and port', { skip }, async () => {
  using node = ownKernel();
  using client = clientOf(node);
  const options = { ...plain, observe: true };
  await load(node, options, guarded);
  for (const to of [address, address6]) {
    send(client, to, 53, 1);
    send(client, to, 9, 3);
    send(client, to, 65_535, 1);
    sendRaw(client, gre, to, new Uint8Array(4));
    sendRaw(client, 132, to, Uint8Array.of(0, 1, 0, 22, ...new Uint8Array(8)));
  }
  const ways = [`${address} 10.50.0.9`, `${address6} fd00::9`];
  const want = ways.flatMap((way) => [
    `${way} 17 9: 3`,
    `${way} 17 65535: 1`,
    `${way} 47 0: 1`,
    `${way} 132 22: 1`,
  ]);
  assert.deepEqual(await sampled(node), want.sort());
  const wanted = nftables(options).render(stateOf(guarded, needsOf(guarded, roomy)));
  assert.deepEqual(difference(await found(node, options), wanted), [], 'samples are no drift');
});

test('observe counts once what only the second guard would drop', { skip }, async () => {
  using node = ownKernel();
  using client = clientOf(node);
  const options = { ...plain, observe: true };
  const vips = [vip(address, [port(53, { protocol: 'UDP', delivery: 'forward' })])];
  await load(node, options, vips);
  send(client, address, 53, 2);
  send(client, address, 9, 1);
  const { 'drop4 10.50.0.1': drops } = await counts(node, options, vips);
  assert.equal(drops, 3);
  assert.deepEqual(await sampled(node), ['10.50.0.1 10.50.0.9 17 53: 2', '10.50.0.1 10.50.0.9 17 9: 1']);
});

test('once the samples are full, packets go on and are counted by their VIP', { skip }, async () => {
  using node = ownKernel();
  using client = clientOf(node);
  const options = { ...plain, observe: true };
  await load(node, options, guarded);
  const ports = sampler.capacity + 20;
  const line = `for i in $(seq ${ports}); do echo x > /dev/udp/${address}/$((1000 + i)); done; sleep 0.05`;
  runIn(client, ['bash', '-c', line]);
  const { 'drop4 10.50.0.1': drops } = await counts(node, options, guarded);
  assert.equal(drops, ports);
  assert.equal((await sampled(node)).length, sampler.capacity);
});

test('a packet to a declared port of a VIP with egress is counted once', {
  skip,
}, async () => {
  using node = ownKernel();
  using client = clientOf(node);
  const vips = [vip(address, [port(53, host)], { egress: true })];
  await load(node, counting, vips);
  send(client, address, 53, 2);
  const { 'allow4 10.50.0.1 17 53': accepts } = await counts(node, counting, vips);
  assert.equal(accepts, 2);
});

test('counters survive a repair, and a change of another VIP', { skip }, async () => {
  using node = ownKernel();
  using client = clientOf(node);
  await load(node, counting, guarded);
  send(client, address, 9, 3);
  const more = [...guarded, vip('10.50.0.2', [port(80)])];
  const want = nftables(counting).render(stateOf(more, needsOf(more)));
  await commit(node, counting, await found(node, counting), want);
  const { 'drop4 10.50.0.1': drops } = await counts(node, counting, guarded);
  assert.equal(drops, 3);
});

test('a key that is not there has no count, and those behind it have theirs', { skip }, async () => {
  using node = ownKernel();
  await load(node, counting, guarded);
  const keys = [
    [10, 50, 0, 1],
    [10, 9, 9, 9],
    [10, 50, 0, 1],
  ].map((bytes) => Uint8Array.from(bytes));
  const answer = await node.kernel.ask(counterQuestion('drop4', keys));
  assert.deepEqual(
    [...readCounters(answer)],
    [
      [0, 0],
      [2, 0],
    ],
  );
});

async function load(node: OwnKernel, options: NftOptions, vips: readonly VirtualIp[]): Promise<void> {
  await commit(node, options, nothing, nftables(options).render(stateOf(vips, needsOf(vips, roomy))));
}

/** A namespace with a cable to the node, which has the VIPs as addresses so that a client finds it. */
function clientOf({ namespace }: OwnKernel): Namespace {
  const client = Namespace.make();
  const ip = (where: Namespace, ...words: string[]): void => {
    const { status, stderr } = runIn(where, ['ip', ...words]);
    assert.equal(status, 0, stderr);
  };
  ip(namespace, 'link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'client0');
  ip(namespace, 'link', 'set', 'client0', 'netns', `/proc/${process.pid}/fd/${client.fd}`);
  for (const [where, link, addresses] of [
    [namespace, 'node0', [`${address}/24`, `${address6}/64`]],
    [client, 'client0', ['10.50.0.9/24', 'fd00::9/64']],
  ] as const) {
    for (const one of addresses) {
      const flags = one.includes(':') ? ['nodad'] : [];
      ip(where, 'address', 'add', one, 'dev', link, ...flags);
    }
    ip(where, 'link', 'set', link, 'up');
  }
  return client;
}

/** Datagrams one by one, from a program that knows nothing of us. */
function send(client: Namespace, to: string, number: number, times: number): void {
  const line = `for i in $(seq ${times}); do echo x > /dev/udp/${to}/${number}; done; sleep 0.05`;
  const { stderr } = runIn(client, ['bash', '-c', line]);
  assert.equal(stderr, '');
}

/** `VIP SOURCE PROTOCOL PORT: PACKETS` of every sample. */
async function sampled({ kernel }: OwnKernel): Promise<string[]> {
  const samples = sampler.read(await kernel.dump(sampler.dumps));
  return samples
    .map(({ vip, source, protocol, port, packets }) => `${vip} ${source} ${protocol} ${port}: ${packets}`)
    .sort();
}

/** Every element of allow and drop that has a counter, by its set and key. */
async function counts(
  { kernel }: OwnKernel,
  options: NftOptions,
  vips: readonly VirtualIp[],
): Promise<Record<string, number>> {
  const found: [string, number][] = [];
  const elements = nftables(options).render(stateOf(vips)).elements as readonly ElementObject[];
  for (const { set, key } of elements.filter((element) => /^(allow|drop)/.test(element.set))) {
    const packets = readCounters(await kernel.ask(counterQuestion(set, [key]))).get(0);
    if (packets !== undefined) found.push([`${set} ${keyText(key)}`, packets]);
  }
  return Object.fromEntries(found.sort());
}

/** The key of a port or a VIP, without the code under test. */
function keyText(key: Uint8Array): string {
  const of4 = key.length % 16 === 4 || key.length === 12;
  const address = of4 ? key.subarray(0, 4).join('.') : Buffer.from(key.subarray(0, 16)).toString('hex');
  const rest = key.subarray(of4 ? 4 : 16);
  return rest.length === 0 ? address : `${address} ${rest[0]} ${((rest[4] ?? 0) << 8) | (rest[5] ?? 0)}`;
}
