// Packets with a VIP as forged source: conntrack then takes packets to that VIP for replies, and still no
// port opens.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { addressBytes, parseAddress } from '../../src/state/address.ts';
import { Node, skip } from './node.ts';
import { bound, probe, sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'] as const;
const accomplices = { '10.77.0.100': '10.88.0.2', 'fd77::100': 'fd88::2' } as const;
const theirPort = 4022;
/** The test writes the IP header itself. */
const IPPROTO_RAW = 255;
const bridgeFilter = '/proc/sys/net/bridge/bridge-nf-call';
const withBridge = { skip: skip || (!existsSync(`${bridgeFilter}-iptables`) && 'no br_netfilter') };

for (const [name, annotations, port] of [
  ['an undeclared port of a VIP with egress', { egress: 'true' }, 161],
  ['a forwarded port to a listener of the node', { delivery: 'forward' }, 53],
] as const) {
  test(`a forged source does not open ${name}`, { skip }, async () => {
    const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations };
    await using node = await Node.start({ services: [service] });
    await node.listen(node.node, 'udp', port);
    for (const vip of vips) {
      const accomplice = accomplices[vip];
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

test('a forged packet to a declared port opens no undeclared port', { skip }, async () => {
  const [, vip] = vips;
  const annotations = { delivery: 'host', egress: 'true' };
  const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations };
  await using node = await Node.start({ services: [service] });
  await node.listen(node.node, 'udp', 53);
  const closed = await bound(node.node, vip, 161);
  const got: string[] = [];
  closed.on('message', (message) => got.push(String(message)));
  for (const [from, to] of [
    [161, 53],
    [53, 161],
  ] as const)
    sendRaw(node.client, IPPROTO_RAW, vip, forged(vip, vip, from, to));
  await node.until('both are counted', async () => {
    const { vips: counted } = await node.counted();
    return (counted[1]?.dropped ?? 0) >= 2;
  });
  closed.close();
  assert.deepEqual(got, []);
});

// Conntrack sees bridged packets, and no check of their source follows, as IPv4 has one where it routes.
test('a forged packet that crosses a bridge of the node opens no undeclared port', withBridge, async () => {
  const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations: { egress: 'true' } };
  await using node = await Node.start({ services: [service] });
  await node.listen(node.node, 'udp', 161);
  node.run('ip link add other type veth peer name other0');
  node.run('ip link set other0 up');
  bridge(node, 'cni', ['pods', 'other']);
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
});

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

/** Makes links ports of a bridge that shows netfilter what it forwards. */
function bridge(node: Node, name: string, links: readonly string[]): void {
  node.run(`ip link add ${name} type bridge`);
  for (const link of links) node.run(`ip link set ${link} up master ${name}`);
  node.run(`ip link set ${name} up`);
  for (const family of ['iptables', 'ip6tables'])
    node.node.run(() => writeFileSync(`${bridgeFilter}-${family}`, '1'));
}

function carry(node: Node, address: string, { from, to }: { from: string; to: string }): void {
  node.run(`ip address delete ${address} dev ${from}`);
  node.run(`ip address add ${address} dev ${to}${address.includes(':') ? ' nodad' : ''}`);
}

/** A datagram from a port of the VIP, without a checksum in IPv4, where the kernel sums up the header. */
function forged(from: string, to: string, port: number, toPort = theirPort): Uint8Array {
  const [source, destination] = [addressBytes(parseAddress(from)), addressBytes(parseAddress(to))];
  const datagram = new Uint8Array(12);
  const view = new DataView(datagram.buffer);
  for (const [index, word] of [port, toPort, datagram.length].entries()) view.setUint16(index * 2, word);
  if (source.length === 4) {
    const start = [0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0];
    return Uint8Array.of(...start, ...source, ...destination, ...datagram);
  }
  const summed = [...source, ...destination, ...datagram];
  let sum = datagram.length + 17;
  for (const [place, byte] of summed.entries()) sum += place % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  view.setUint16(6, ~sum & 0xffff);
  return Uint8Array.of(0x60, 0, 0, 0, 0, datagram.length, 17, 64, ...source, ...destination, ...datagram);
}
