// Packets with a VIP as forged source: conntrack then takes packets to that VIP for replies, and still no
// port opens.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { runIn } from '../namespaces.ts';
import { Node, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { bound, forged, IPPROTO_RAW, probe, sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'] as const;
const others = ['10.77.0.101', 'fd77::101'];
const accomplices = { '10.77.0.100': '10.88.0.2', 'fd77::100': 'fd88::2' } as const;
/** The node's own addresses. */
const gates = { '10.77.0.100': '10.77.0.1', 'fd77::100': 'fd77::1' } as const;
/** The network of the client. */
const clients = ['10.77.0.0/24', 'fd77::/64'];
const theirPort = 4022;
const bridgeFilter = '/proc/sys/net/bridge/bridge-nf-call';
const withNft = skip || hasTool('nft', '--version');
const withBridge = { skip: skip || (!existsSync(`${bridgeFilter}-iptables`) && 'no br_netfilter') };

for (const [name, annotations, port] of [
  ['an undeclared port of a VIP with egress', { egress: 'true' }, 161],
  ['a port that a VIP with egress asks from', { egress: 'true' }, 5353],
  ['a forwarded port to a listener of the node', { delivery: 'forward' }, 53],
] as const) {
  test(`a forged source does not open ${name}`, { skip }, async () => {
    const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations };
    await using node = await Node.start({ services: [service] });
    await node.listen(node.node, 'udp', port);
    for (const vip of vips) {
      const accomplice = accomplices[vip];
      if (port === 5353)
        sendRaw(node.node, IPPROTO_RAW, accomplice, forged(vip, accomplice, port, { toPort: 9000 }));
      sendRaw(node.client, IPPROTO_RAW, accomplice, forged(vip, accomplice, port));
      const to = { host: vip, port, localPort: theirPort };
      assert.equal(await probe(node.backend, 'udp', to), 'closed', vip);
    }
    await node.until('the forged packet is counted', async () => {
      const { vips: counted } = await node.counted();
      return counted.every(({ dropped }) => (dropped ?? 0) >= (port === 53 ? 1 : 2));
    });
  });
}

for (const egress of ['true', 'false'])
  test(`a forged packet to a declared port opens no undeclared port (egress ${egress})`, {
    skip,
  }, async () => {
    const [, vip] = vips;
    const annotations = { delivery: 'host', egress };
    const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations };
    await using node = await Node.start({ services: [service] });
    await node.listen(node.node, 'udp', 53);
    const closed = await bound(node.node, vip, 161);
    closed.unref();
    const got: string[] = [];
    closed.on('message', (message) => got.push(String(message)));
    for (const [from, to] of [
      [161, 53],
      [53, 161],
    ] as const)
      sendRaw(node.client, IPPROTO_RAW, vip, forged(vip, vip, from, { toPort: to }));
    await node.until('both are counted', async () => {
      const { vips: counted } = await node.counted();
      return (counted[1]?.dropped ?? 0) >= 2;
    });
    assert.deepEqual(got, []);
  });

// Conntrack sees bridged packets, and no check of their source follows, as IPv4 has one where it routes.
for (const [by, when] of [
  ['br_netfilter', withBridge],
  ['a foreign table of the family bridge', { skip: withNft }],
] as const)
  test(
    `a forged packet that crosses a bridge of the node opens no undeclared port (${by})`,
    when,
    async (t) => {
      const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations: { egress: 'true' } };
      await using node = await Node.start({ services: [service] });
      // Our rules never see what this table tracks.
      const input =
        'table bridge theirs { chain all { type filter hook forward priority 0; ct state new; }; }';
      if (when !== withBridge && runIn(node.node, ['nft', '-f', '-'], input).status !== 0)
        return t.skip('this kernel does not track bridged packets');
      await node.listen(node.node, 'udp', 161);
      node.run('ip link add other type veth peer name other0');
      node.run('ip link set other0 up');
      bridge(node, 'cni', ['pods', 'other'], { shows: when === withBridge });
      for (const own of ['10.88.0.1/24', 'fd88::1/64']) carry(node, own, { from: 'pods', to: 'cni' });
      for (const port of ['pods', 'other'])
        await node.until('the bridge forwards', async () =>
          node.run(`ip -details link show ${port}`).includes(' state forwarding '),
        );
      for (const [vip, accomplice, more] of [
        [vips[0], '10.88.0.3', '/32'],
        [vips[1], 'fd88::3', '/128 nodad'],
      ] as const) {
        const where = { where: node.backend };
        // No host has this address, so the bridge floods the packet to all ports.
        node.run(`ip neighbour replace ${accomplice} lladdr 02:00:00:00:00:09 dev pods0`, where);
        sendRaw(node.backend, IPPROTO_RAW, accomplice, forged(vip, accomplice, 161));
        node.run(`ip neighbour delete ${accomplice} dev pods0`, where);
        node.run(`ip address add ${accomplice}${more} dev pods0`, where);
        const to = { host: vip, port: 161, localAddress: accomplice, localPort: theirPort };
        assert.equal(await probe(node.backend, 'udp', to), 'closed', vip);
      }
    },
  );

test(
  'a VIP answers clients behind a second bridge, where its own packets come in again',
  withBridge,
  async () => {
    const annotations = { delivery: 'host', egress: 'true' };
    const service = { name: 'web', addresses: vips, ports: ['TCP 80'], annotations };
    await using node = await Node.start({ services: [service] });
    await node.listen(node.node, 'tcp', 80);
    node.run('ip link add near type veth peer name far');
    bridge(node, 'first', ['lan', 'near']);
    bridge(node, 'second', ['far', 'pods']);
    for (const own of ['10.77.0.1/24', 'fd77::1/64']) carry(node, own, { from: 'lan', to: 'first' });
    for (const own of ['10.77.0.50/24', 'fd77::50/64 nodad'])
      node.run(`ip address add ${own} dev pods0`, { where: node.backend });
    for (const [host, localAddress] of [
      [vips[0], '10.77.0.50'],
      [vips[1], 'fd77::50'],
    ] as const)
      await node.until('the VIP answers', async () => {
        return (await probe(node.backend, 'tcp', { host, port: 80, localAddress })) === 'open';
      });
  },
);

// The packet that made the entry passed rightly: the VIP was another node's.
for (const [name, annotations, port, way] of [
  ['an undeclared port of a VIP with egress', { egress: 'true' }, 161, ''],
  ['a port of a VIP with egress to other sources', { egress: 'true', delivery: 'host' }, 53, ''],
  ['a forwarded port to a listener of the node', { delivery: 'forward' }, 53, ''],
  ['an undeclared port of a VIP with egress', { egress: 'true' }, 161, ' by a NodePort'],
  ['a forwarded port to a listener of the node', { delivery: 'forward' }, 53, ' by a NodePort'],
] as const) {
  test(`a packet that passed${way} as if from a VIP, before the VIP came, does not open ${name}`, {
    skip: way === '' ? skip : withNft,
  }, async () => {
    const ports = ['UDP 53', 'TCP 53'];
    const sources = 'delivery' in annotations && 'egress' in annotations ? clients : [];
    const service = { name: 'dns', addresses: vips, ports, annotations, sources };
    const other = { name: 'other', addresses: others, ports: ['TCP 80'], annotations: { egress: 'true' } };
    await using node = await Node.start({ services: [other] });
    for (const protocol of ['udp', 'tcp'] as const) await node.listen(node.node, protocol, port);
    const probes = vips.flatMap((vip) => (['udp', 'tcp'] as const).map((protocol) => ({ vip, protocol })));
    const late = { '10.77.0.100': '10.88.0.3', 'fd77::100': 'fd88::3' } as const;
    if (way !== '') node.run('nft -f -', { input: nodePort(late) });
    for (const vip of vips) {
      // No host has this hardware address, so that nobody answers the packets.
      node.run(`ip neighbour replace ${late[vip]} lladdr 02:00:00:00:00:09 dev pods`);
      const [to, toPort] = way === '' ? [late[vip], theirPort] : [gates[vip], 30_080];
      for (const protocol of ['udp', 'tcp'] as const)
        sendRaw(node.client, IPPROTO_RAW, to, forged(vip, to, port, { protocol, toPort }));
      node.run(`ip neighbour delete ${late[vip]} dev pods`);
      const prefix = vip.includes(':') ? '/128 nodad' : '/32';
      node.run(`ip address add ${late[vip]}${prefix} dev pods0`, { where: node.backend });
    }
    await node.setServices([other, service]);
    // What the VIP answers to a client that may ask opens nothing to others.
    if (sources.length > 0)
      for (const { vip, protocol } of probes)
        assert.equal(await probe(node.client, protocol, { host: vip, port }), 'open', `${vip} ${protocol}`);
    for (const { vip, protocol } of probes) {
      const to = { host: vip, port, localAddress: late[vip], localPort: theirPort };
      assert.equal(await probe(node.backend, protocol, to), 'closed', `${vip} ${protocol}`);
    }
    await node.until('every probe is counted', async () => {
      const { vips: counted } = await node.counted();
      return counted
        .filter(({ address }) => vips.some((vip) => vip === address))
        .every(({ dropped }) => (dropped ?? 0) >= 2);
    });
  });
}

test('packets from a VIP of another node pass', { skip }, async () => {
  const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations: { delivery: 'forward' } };
  await using node = await Node.start({ services: [service] });
  await node.killAgent('SIGKILL');
  for (const vip of vips) {
    node.run(`ip address delete ${vip} dev lan`);
    const accomplice = accomplices[vip];
    const socket = await bound(node.backend, accomplice, theirPort);
    const arrived = once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
    sendRaw(node.client, IPPROTO_RAW, accomplice, forged(vip, accomplice, 53));
    await arrived;
    socket.close();
  }
});

/** Rules that take port 30080 of the node to a port of an accomplice. */
function nodePort(to: Readonly<Record<(typeof vips)[number], string>>): string {
  const dnat = (family: string, address: string): string =>
    `meta nfproto ip${family} meta l4proto { tcp, udp } th dport 30080 dnat ${address}:${theirPort}`;
  return `table inet kube { chain pre { type nat hook prerouting priority dstnat;
    ${dnat('v4', `ip to ${to[vips[0]]}`)}
    ${dnat('v6', `ip6 to [${to[vips[1]]}]`)}
  }; }`;
}

/** Makes links ports of a bridge, which shows netfilter what it forwards unless `shows` is false. */
function bridge(node: Node, name: string, links: readonly string[], { shows = true } = {}): void {
  node.run(`ip link add ${name} type bridge`);
  for (const link of links) node.run(`ip link set ${link} up master ${name}`);
  node.run(`ip link set ${name} up`);
  for (const family of shows ? ['iptables', 'ip6tables'] : [])
    node.node.run(() => writeFileSync(`${bridgeFilter}-${family}`, '1'));
}

function carry(node: Node, address: string, { from, to }: { from: string; to: string }): void {
  node.run(`ip address delete ${address} dev ${from}`);
  node.run(`ip address add ${address} dev ${to}${address.includes(':') ? ' nodad' : ''}`);
}
