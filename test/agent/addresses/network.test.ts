// Which link a VIP goes on, and which addresses may not become VIPs, by the links, addresses and routes of a
// real kernel.
import { equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { Network } from '../../../src/agent/addresses/network.ts';
import { readAddress } from '../../../src/dialects/addresses/decode.ts';
import { addresses } from '../../../src/dialects/addresses/dialect.ts';
import { linkDump, readLink } from '../../../src/dialects/addresses/links.ts';
import { messagesOf } from '../../../src/netlink/reader.ts';
import { parseAddress, parsePrefix } from '../../../src/state/address.ts';
import { hasTool, type OwnKernel, ownKernel } from '../../kernel/own-kernel.ts';
import { cannotUnshare, runIn } from '../../namespaces.ts';

const skip = cannotUnshare() || hasTool('ip', '-V');
const nameserver = parseAddress('10.77.0.53');

/** Two links: eth0 with a narrow and a wide prefix and the default routes, eth1 with another prefix. */
const links = [
  'link add eth0 type veth peer name peer0',
  'link add eth1 type veth peer name peer1',
  'address add 10.77.0.1/24 dev eth0',
  'address add fd77::1/64 dev eth0 nodad',
  'address add 10.88.0.1/16 dev eth1',
  'address add 10.88.5.1/24 dev eth0',
  ...['eth0', 'eth1', 'peer0', 'peer1'].map((name) => `link set ${name} up`),
  'route add default via 10.77.0.254',
  'route add default via fd77::fe',
];

function made(lines: readonly string[] = []): OwnKernel {
  const own = ownKernel();
  const { status, stderr } = runIn(own.namespace, ['ip', '-batch', '-'], [...links, ...lines].join('\n'));
  equal(status, 0, stderr);
  return own;
}

async function networkOf(own: OwnKernel, wanted: readonly string[] = ['auto']): Promise<Network> {
  const network = new Network(own.kernel, wanted);
  await network.refresh([nameserver]);
  return network;
}

const hosts = [
  ...[1, 2].map((last) => `address add 10.99.0.${last}/32 dev eth1`),
  'route replace default via 10.88.0.254',
].join('\n');
const conflicts: readonly (readonly [name: string, line: string, address: string, words: RegExp | null])[] = [
  ['the gateway', '', '10.77.0.254', /gateway/],
  ['the IPv6 gateway', '', 'fd77::fe', /gateway/],
  ['a name server', '', '10.77.0.53', /name server/],
  ['an address of the node', '', '10.77.0.1', /address of this node \(on eth0\)/],
  ['an IPv6 address of the node', '', 'fd77::1', /address of this node/],
  ['a free address', '', '10.77.0.100', null],
  ['an address on lo', 'address add 10.77.0.100/32 dev lo', '10.77.0.100', null],
  ['another announcer’s host address', 'address add 10.77.0.100/32 dev eth0', '10.77.0.100', null],
  ['the only host address on a link', 'address add 10.99.0.1/32 dev peer1', '10.99.0.1', /on peer1/],
  ['the host address that a route has as its source', `${hosts} src 10.99.0.1`, '10.99.0.1', /on eth1/],
  ['a second host address beside that one', `${hosts} src 10.99.0.1`, '10.99.0.2', null],
  ['a host address that the kernel has chosen as source', hosts, '10.99.0.1', null],
  ['an IPv6 host address', 'address add fd77::100/128 dev eth0 nodad', 'fd77::100', null],
  ['the broadcast address of a link', '', '10.77.0.255', /broadcast address of 10\.77\.0\.1\/24 on eth0/],
  ['the anycast address of a link', '', 'fd77::', /anycast address of fd77::1\/64 on eth0/],
];

for (const [name, line, address, words] of conflicts) {
  test(`${name} is ${words === null ? 'no conflict' : 'a conflict with its reason'}`, { skip }, async () => {
    using own = made(line === '' ? [] : [line]);
    const conflict = (await networkOf(own)).conflict(parseAddress(address));
    if (words === null) equal(conflict, undefined);
    else match(conflict ?? 'none', words);
  });
}

const places: readonly (readonly [name: string, wanted: readonly string[], address: string, link: string])[] =
  [
    ['the link whose prefix contains it', ['auto'], '10.88.9.9', 'eth1'],
    ['the link with the longest prefix that contains it', ['auto'], '10.88.5.9', 'eth0'],
    ['no link if no prefix contains it', ['auto'], '192.0.2.9', 'none'],
    ['the named link, even if another has a longer prefix', ['eth1'], '10.88.5.9', 'eth1'],
    ['the first named link if no prefix contains it', ['eth1', 'eth0'], '192.0.2.9', 'eth1'],
    ['the link of an IPv6 prefix', ['auto'], 'fd77::9', 'eth0'],
  ];

for (const [name, wanted, address, link] of places) {
  test(`a VIP goes on ${name}`, { skip }, async () => {
    using own = made();
    const network = await networkOf(own, wanted);
    equal(network.interfaceFor(parseAddress(address))?.name ?? 'none', link);
  });
}

test('connected prefixes are on-link, and with a named link all allowed prefixes are', { skip }, async () => {
  using own = made();
  const allow = ['192.0.2.0/24', '10.88.5.128/25', 'fd77::/16'].map(parsePrefix);
  const auto = await networkOf(own);
  const texts = (network: Network) => network.onLink(allow).sort().join(' ');
  // Nothing of 10.77.0.0/24 is allowed.
  equal(texts(auto), '10.88.0.0/16 10.88.5.0/24 fd77::/64');
  equal(texts(await networkOf(own, ['eth1'])), '10.88.0.0/16 10.88.5.128/25 192.0.2.0/24 fd77::/16');
});

test('the prefix of an IPv4-mapped IPv6 address is not on-link', { skip }, async () => {
  using own = made(['address add ::ffff:10.9.9.9/96 dev eth0 nodad']);
  const network = await networkOf(own);
  equal(network.onLink([parsePrefix('::/0')]).join(), 'fd77::/64');
  equal(network.interfaceFor(parseAddress('fd77::9'))?.name, 'eth0');
});

const nextHops: readonly (readonly [name: string, lines: string, addresses: readonly string[]])[] = [
  ['a default gateway', 'route replace default via 10.88.0.254', ['10.88.0.254']],
  [
    'the gateway of a node with a blackhole route',
    'route add blackhole 192.0.2.0/24\nroute replace default via 10.88.0.252',
    ['10.88.0.252'],
  ],
  [
    'the IPv6 gateway of a node with an unreachable route',
    'route add unreachable 2001:db8::/32\nroute replace default via fd77::fa',
    ['fd77::fa'],
  ],
  [
    'each of several next hops',
    'route replace default nexthop via 10.88.0.253 dev eth1 nexthop via 10.77.0.253 dev eth0',
    ['10.88.0.253', '10.77.0.253'],
  ],
  ['a next hop of the other family', 'route replace default via inet6 fd77::fd dev eth0', ['fd77::fd']],
  [
    'each of several IPv6 next hops',
    'route add default metric 1 nexthop via fd77::fc dev eth0 nexthop via fd77::fb dev eth0',
    ['fd77::fc', 'fd77::fb'],
  ],
];

for (const [name, lines, addresses] of nextHops) {
  test(`${name} that is added later is a conflict once gateways are read`, { skip }, async () => {
    using own = made();
    const network = await networkOf(own);
    const conflicts = () => addresses.map((address) => network.conflict(parseAddress(address)));
    equal(conflicts().join(), ','.repeat(addresses.length - 1));
    const { status, stderr } = runIn(own.namespace, ['ip', '-batch', '-'], `${lines}\n`);
    equal(status, 0, stderr);
    await network.readGateways();
    for (const conflict of conflicts()) match(conflict ?? 'none', /gateway of this node/);
  });
}

test('a VIP whose own link is down goes on no other link, even if another is named', {
  skip,
}, async () => {
  using own = made(['link set eth1 down']);
  const network = await networkOf(own, ['eth0', 'eth1']);
  equal(network.interfaceFor(parseAddress('10.88.9.9')), undefined);
  equal(network.interfaceFor(parseAddress('192.0.2.9'))?.name, 'eth0');
  // The link will come up again: other hosts know this node by both MAC addresses.
  equal(network.macs().length, 2);
});

test('the known state holds during a refresh, and an event that arrives meanwhile counts', {
  skip,
}, async () => {
  using own = made(['address add 10.88.0.9/16 dev eth1']);
  const heard = [...messagesOf((await own.kernel.dump(addresses.dumps))[0] ?? new Uint8Array())].find(
    (message) => readAddress(message)?.address === '10.88.0.9',
  );
  ok(heard !== undefined);
  equal(runIn(own.namespace, ['ip', 'address', 'delete', '10.88.0.9/16', 'dev', 'eth1']).status, 0);
  const network = await networkOf(own);
  equal(network.conflict(parseAddress('10.88.0.9')), undefined);
  const reading = network.refresh([nameserver]);
  await Promise.resolve();
  equal(network.interfaceFor(parseAddress('10.77.0.100'))?.name, 'eth0');
  network.onMessage(heard);
  await reading;
  match(network.conflict(parseAddress('10.88.0.9')) ?? 'none', /address of this node/);
});

test('of two equally good links a VIP stays on the one that it is on', { skip }, async () => {
  using own = made(['address add 10.77.0.2/24 dev eth1']);
  const network = await networkOf(own);
  const links = [1, 2, 3, 4, 5].filter((one) => /^eth/.test(network.link(one)?.name ?? ''));
  equal(links.length, 2);
  for (const index of links) equal(network.interfaceFor(parseAddress('10.77.0.100'), index)?.index, index);
});

test('of two equally good links a VIP goes on the one that is up, and moves when that changes', {
  skip,
}, async () => {
  using own = made(['address add 10.77.0.2/24 dev eth1', 'link set eth0 down']);
  const network = await networkOf(own);
  equal(network.interfaceFor(parseAddress('10.88.5.9'))?.name, 'eth1');
  const turn = async (words: string, name = words.split(' ')[0]): Promise<string> => {
    equal(runIn(own.namespace, ['ip', 'link', 'set', ...words.split(' ')]).status, 0);
    const events = [...messagesOf((await own.kernel.dump([linkDump()]))[0] ?? new Uint8Array())];
    const event = events.find((message) => readLink(message)?.name === name);
    ok(event !== undefined);
    return network.onMessage(event).kind;
  };
  const place = (): string | undefined => network.interfaceFor(parseAddress('10.77.0.100'))?.name;
  equal(place(), 'eth1');
  equal(await turn('eth0 up'), 'carrier');
  equal(place(), 'eth0');
  equal(await turn('eth0 down'), 'down');
  equal(place(), 'eth1');
  equal(await turn('peer0 down'), 'new');
  equal(await turn('eth0 up'), 'new');
  equal(await turn('eth1 down'), 'down');
  equal(place(), 'eth0');
  equal(await turn('eth0 mtu 1400'), 'other');
  equal(await turn('eth1 up'), 'carrier');
  equal(await turn('eth1 address 02:00:00:00:00:07'), 'carrier');
  equal(await turn('peer1 down', 'eth1'), 'down');
  equal(await turn('eth1 mtu 1400'), 'other');
  equal(await turn('peer1 up', 'eth1'), 'carrier');
  equal(await turn('peer1 name other', 'other'), 'new');
});

test('a link without carrier comes after all with one, except for a VIP that is on it', {
  skip,
}, async () => {
  using own = made(['address add 10.77.0.2/25 dev eth1', 'link set peer1 down']);
  const network = await networkOf(own);
  const vip = parseAddress('10.77.0.100');
  const eth1 = [...network.addresses].find(({ address }) => address === '10.77.0.2')?.interfaceIndex;
  equal(network.interfaceFor(vip)?.name, 'eth0');
  equal(network.interfaceFor(vip, eth1)?.name, 'eth1');
  equal(network.interfaceFor(parseAddress('10.88.9.9'))?.name, 'eth1');
  const named = await networkOf(own, ['eth1', 'eth0']);
  equal(named.interfaceFor(parseAddress('192.0.2.9'))?.name, 'eth0');
});

test('a refresh returns the links whose carrier came back or whose MAC address changed', {
  skip,
}, async () => {
  using own = made();
  const network = await networkOf(own);
  const after = async (...words: readonly string[]): Promise<string> => {
    equal(runIn(own.namespace, ['ip', 'link', 'set', ...words]).status, 0);
    return (await network.refresh([nameserver]))
      .map(({ name }) => name)
      .toSorted()
      .join();
  };
  equal(await after('peer0', 'down'), '');
  equal(await after('peer0', 'up'), 'eth0,peer0');
  equal(await after('eth1', 'address', '02:00:00:00:00:07'), 'eth1');
});
