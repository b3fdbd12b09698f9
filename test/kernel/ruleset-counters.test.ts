// The counters of packets from a real client: drops by VIP, accepts by port, each packet once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VipCounters } from '../../src/agent/firewall/firewall.ts';
import { diff } from '../../src/dialects/delta.ts';
import type { KernelObjects } from '../../src/dialects/dialect.ts';
import type { Address } from '../../src/state/address.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { needsOf, nothing, roomy, stateOf } from '../dialects/arbitraries.ts';
import { Namespace, runIn } from '../namespaces.ts';
import { until, untilTrue } from '../patience.ts';
import { firewallsWith, type OfBoth } from './both-firewalls.ts';
import { hasTool, nft, type OwnKernel, ownKernel, port, vip } from './own-kernel.ts';
import { bound, sendRaw } from './traffic.ts';

const without = hasTool('ip', '-V') || hasTool('bash', '--version');
const address = '10.50.0.1';
const address6 = 'fd00::1';
const gre = 47;
const host = { protocol: 'UDP', delivery: 'host' } as const;
const guarded = [vip(address, [port(53, host)]), vip(address6, [port(53, host)])];

interface Fixture extends Disposable {
  readonly node: OwnKernel;
  readonly client: Namespace;
}

/** A node that guards these VIPs, and a client that finds it at the addresses of `guarded`. */
async function fixture({ firewall }: OfBoth, vips: readonly VirtualIp[] = guarded): Promise<Fixture> {
  const node = ownKernel();
  const client = await clientOf(node);
  await put(node, firewall, nothing, wantedOf(firewall, vips));
  return {
    node,
    client,
    [Symbol.dispose]() {
      client[Symbol.dispose]();
      node[Symbol.dispose]();
    },
  };
}

function wantedOf({ dialect }: OfBoth['firewall'], vips: readonly VirtualIp[]): KernelObjects {
  return dialect.render(stateOf(vips, needsOf(vips, roomy)));
}

async function put(
  { kernel }: OwnKernel,
  { dialect }: OfBoth['firewall'],
  have: KernelObjects,
  want: KernelObjects,
): Promise<void> {
  assert.deepEqual(await kernel.commit(dialect.encode(diff(have, want))), []);
}

async function found({ kernel }: OwnKernel, { dialect }: OfBoth['firewall']): Promise<KernelObjects> {
  return dialect.decode(await kernel.dump(dialect.dumps));
}

async function counts(
  { node }: Fixture,
  { firewall }: OfBoth,
  vips: readonly VirtualIp[] = guarded,
): Promise<Record<Address, VipCounters>> {
  return Object.fromEntries(await firewall.counters(node.kernel, vips));
}

async function untilCounted(read: () => Promise<unknown>, want: unknown): Promise<void> {
  await until('the counts', async () => {
    assert.deepEqual(await read(), want);
    return true;
  });
}

for (const both of firewallsWith({ counters: true })) {
  const { firewall } = both;
  const skip = both.skip || without;

  test(`${firewall.dialect.name}: dropped and accepted packets are counted by VIP and by port`, {
    skip,
  }, async () => {
    using its = await fixture(both);
    for (const to of [address, address6]) {
      send(its.client, to, 53, 2);
      send(its.client, to, 9, 3);
    }
    const counted = { dropped: 3, ports: [2] };
    await untilCounted(() => counts(its, both), { [address]: counted, [address6]: counted });
  });

  test(`${firewall.dialect.name}: a packet to a declared port of a VIP with egress is counted once`, {
    skip,
  }, async () => {
    const vips = [vip(address, [port(53, host)], { egress: true })];
    using its = await fixture(both, vips);
    send(its.client, address, 53, 2);
    await untilCounted(() => counts(its, both, vips), { [address]: { dropped: 0, ports: [2] } });
  });

  test(`${firewall.dialect.name}: counters survive a repair, and a change of another VIP`, {
    skip,
  }, async () => {
    using its = await fixture(both);
    send(its.client, address, 9, 3);
    const more = [...guarded, vip('10.50.0.2', [port(80)])];
    const dropped = async () => (await counts(its, both))[guarded[0]?.address ?? ('' as Address)]?.dropped;
    await untilCounted(dropped, 3);
    await put(its.node, firewall, await found(its.node, firewall), wantedOf(firewall, more));
    assert.equal(await dropped(), 3);
  });

  test(`${firewall.dialect.name}: a VIP or port that the kernel lacks has no count, the next one has`, {
    skip,
  }, async () => {
    using its = await fixture(both);
    const stranger = vip('10.9.9.9', [port(53, host)]);
    const [first, last] = [...guarded.slice(0, 1), vip(address6, [port(54, host), port(53, host)])];
    assert.ok(first !== undefined && last !== undefined);
    assert.deepEqual(await counts(its, both, [first, stranger, last]), {
      [address]: { dropped: 0, ports: [0] },
      '10.9.9.9': { dropped: null, ports: [null] },
      [address6]: { dropped: 0, ports: [null, 0] },
    });
  });
}

for (const both of firewallsWith({})) {
  test(`${both.firewall.dialect.name}: without --counters the count of a port is null`, {
    skip: both.skip || without,
  }, async () => {
    using its = await fixture(both);
    const counted = { dropped: 0, ports: [null] };
    assert.deepEqual(await counts(its, both), { [address]: counted, [address6]: counted });
  });
}

for (const both of firewallsWith({ observe: true })) {
  const { firewall } = both;
  const { sampler } = firewall;
  const skip = both.skip || without;
  const dropped = async (its: Fixture, vips?: readonly VirtualIp[]): Promise<number | null | undefined> =>
    Object.values(await counts(its, both, vips))[0]?.dropped;
  /** `VIP SOURCE PROTOCOL PORT: PACKETS` of every sample. */
  const sampled = async ({ node }: Fixture): Promise<string[]> =>
    sampler
      .read(await node.kernel.dump(sampler.dumps))
      .map((one) => `${one.vip} ${one.source} ${one.protocol} ${one.port}: ${one.packets}`)
      .sort();

  test(`${firewall.dialect.name}: observe lets a packet pass and counts it once as one that it would drop`, {
    skip,
  }, async () => {
    using its = await fixture(both);
    using heard = await listener(its, 9);
    for (const to of [address, address6]) send(its.client, to, 9, 3);
    await untilTrue(() => heard.count === 6);
    await untilCounted(() => dropped(its), 3);
    // As in the moment before a VIP has its counter.
    if (firewall.dialect.name === 'nftables')
      nft(its.node, ['delete', 'element', 'inet', 'vipward', 'drop4', `{ ${address} }`]);
    send(its.client, address, 9, 1);
    await untilTrue(() => heard.count === 7);
  });

  test(`${firewall.dialect.name}: observe samples packets that it would drop by source, protocol and port`, {
    skip,
  }, async () => {
    using its = await fixture(both);
    for (const to of [address, address6]) {
      send(its.client, to, 53, 1);
      send(its.client, to, 9, 3);
      send(its.client, to, 65_535, 1);
      sendRaw(its.client, gre, to, new Uint8Array(4));
      sendRaw(its.client, 132, to, Uint8Array.of(0, 1, 0, 22, ...new Uint8Array(8)));
    }
    const ways = [`${address} 10.50.0.9`, `${address6} fd00::9`];
    const want = ways.flatMap((way) => [
      `${way} 17 9: 3`,
      `${way} 17 65535: 1`,
      `${way} 47 0: 1`,
      `${way} 132 22: 1`,
    ]);
    await untilCounted(() => sampled(its), want.sort());
    const drift = diff(await found(its.node, firewall), wantedOf(firewall, guarded));
    assert.deepEqual(drift, { remove: [], add: [] }, 'samples are no drift');
  });

  test(`${firewall.dialect.name}: observe counts a packet that only the second guard would drop once`, {
    skip,
  }, async () => {
    const vips = [vip(address, [port(53, { protocol: 'UDP', delivery: 'forward' })])];
    using its = await fixture(both, vips);
    send(its.client, address, 53, 2);
    send(its.client, address, 9, 1);
    await untilCounted(() => dropped(its, vips), 3);
    assert.deepEqual(await sampled(its), ['10.50.0.1 10.50.0.9 17 53: 2', '10.50.0.1 10.50.0.9 17 9: 1']);
  });

  test(`${firewall.dialect.name}: when the samples are full, packets pass and are counted by their VIP`, {
    skip,
  }, async () => {
    using its = await fixture(both);
    const ports = sampler.capacity + 20;
    using last = await listener(its, 1000 + ports);
    const line = `for i in $(seq ${ports}); do echo x > /dev/udp/${address}/$((1000 + i)); done; sleep 0.05`;
    runIn(its.client, ['bash', '-c', line]);
    await untilTrue(() => last.count === 1);
    await untilCounted(() => dropped(its), ports);
    assert.equal((await sampled(its)).length, sampler.capacity);
  });
}

/** A namespace with a cable to the node, which has the VIPs as addresses so that a client finds it. */
async function clientOf({ namespace }: OwnKernel): Promise<Namespace> {
  const client = Namespace.make();
  const ip = (where: Namespace, ...words: string[]): string => {
    const { status, stdout, stderr } = runIn(where, ['ip', ...words]);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  ip(namespace, 'link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'client0');
  ip(namespace, 'link', 'set', 'client0', 'netns', `/proc/${process.pid}/fd/${client.fd}`);
  for (const [where, link, addresses] of [
    [namespace, 'node0', [`${address}/24`, `${address6}/64`]],
    [client, 'client0', ['10.50.0.9/24', 'fd00::9/64']],
  ] as const) {
    for (const one of addresses)
      ip(where, 'address', 'add', one, 'dev', link, ...(one.includes(':') ? ['nodad'] : []));
    ip(where, 'link', 'set', link, 'up');
  }
  // Before that the node sends nothing.
  await untilTrue(() => ip(namespace, 'link', 'show', 'node0').includes('state UP'));
  return client;
}

/** A listener on a port of the node, at any address. */
async function listener({ node }: Fixture, number: number): Promise<{ count: number } & Disposable> {
  const socket = await bound(node.namespace, '::', number);
  const heard = { count: 0, [Symbol.dispose]: () => void socket.close() };
  socket.on('message', () => heard.count++);
  return heard;
}

/** Sends datagrams one by one, from a shell. */
function send(client: Namespace, to: string, number: number, times: number): void {
  const line = `for i in $(seq ${times}); do echo x > /dev/udp/${to}/${number}; done; sleep 0.05`;
  const { stderr } = runIn(client, ['bash', '-c', line]);
  assert.equal(stderr, '');
}
