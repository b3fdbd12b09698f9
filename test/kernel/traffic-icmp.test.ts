// What a network needs of an address beside its ports: replies to ping, path errors, and neighbour
// resolution.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { runIn } from '../namespaces.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { probe, sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const web: Service = { name: 'web', addresses: vips, ports: ['TCP 80', 'UDP 53'] };
const ping = skip || hasTool('ping', '-V');

test('a VIP answers ping unless the agent runs with --echo off', { skip: ping }, async () => {
  await using node = await Node.start({ services: [web] });
  for (const vip of vips) node.run(`ping -c 1 -W 5 ${vip}`, { where: node.client });
  await using silent = await Node.start({ services: [web], agentArgs: ['--echo', 'off'] });
  for (const vip of vips) {
    const { status } = runIn(silent.client, ['ping', '-c', '1', '-W', '1', vip]);
    assert.equal(status, 1, vip);
  }
});

test('a path MTU error about a datagram of a VIP lowers the MTU of its route', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  // A VIP's own socket: the error finds it only by the address and port it is bound to.
  for (const vip of vips) await node.listen(node.node, 'udp', 53, vip);
  sendRaw(node.client, 1, '10.77.0.100', tooBig4());
  await node.until('the path of IPv4 is narrow', () =>
    node.run('ip route get 10.77.0.9 from 10.77.0.100').includes('mtu 1000'),
  );
  sendRaw(node.client, 58, 'fd77::100', tooBig6());
  await node.until('the path of IPv6 is narrow', () =>
    node.run('ip -6 route get fd77::9 from fd77::100').includes('mtu 1400'),
  );
});

// With egress the redirect is about a datagram of the VIP, which conntrack knows.
for (const egress of ['false', 'true'])
  test(`an ICMP redirect to a VIP is dropped (egress ${egress})`, { skip }, async () => {
    await using node = await Node.start({ services: [{ ...web, annotations: { egress } }] });
    for (const [vip, host] of [
      ['10.77.0.100', '10.77.0.9'],
      ['fd77::100', 'fd77::9'],
    ] as const)
      await probe(node.node, 'udp', { host, port: 5353, localAddress: vip, localPort: 53 });
    const redirect4 = tooBig4();
    redirect4.set([5, 1, 0, 0, 10, 77, 0, 9]);
    sendRaw(node.client, 1, '10.77.0.100', withChecksum(redirect4));
    const redirect6 = tooBig6();
    redirect6.set([137, 0]);
    sendRaw(node.client, 58, 'fd77::100', redirect6);
    await node.until('the drops are counted', async () => {
      return (await node.status()).vips.every(({ dropped }) => dropped === 1);
    });
  });

test('an ICMP redirect to an address that is to be a VIP makes it no gateway of the node', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web] });
  node.node.run(() => writeFileSync('/proc/sys/net/ipv4/ip_forward', '0'));
  node.run('ip route add default via 10.77.0.9');
  // A host that the node can resolve, such as the node that has the VIP now.
  node.run('ip address add 10.77.0.101/32 dev lan0', { where: node.client });
  await node.until('the node follows the redirect', () => {
    sendRaw(node.client, 1, '10.77.0.1', redirect4());
    return node.run('ip route get 198.41.0.4').includes('via 10.77.0.101');
  });
  node.run('ip address delete 10.77.0.101/32 dev lan0', { where: node.client });
  await node.setServices([web, { name: 'other', addresses: ['10.77.0.101'], ports: ['TCP 80'] }]);
  const vip = (await node.status()).vips.find(({ address }) => address === '10.77.0.101');
  assert.deepEqual([vip?.state, vip?.message], ['serving', '']);
});

test('a client that has flushed its neighbour table resolves a VIP again', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  await node.listen(node.node, 'tcp', 80);
  for (const vip of vips) {
    for (let times = 0; times < 3; times++) {
      node.run('ip neighbour flush dev lan0', { where: node.client });
      node.run('ip neighbour flush dev lan');
      assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
    }
    assert.match(node.run(`ip neighbour show ${vip}`, { where: node.client }), /lladdr/);
  }
});

test('a VIP resolves a client that knows it, and answers a client that asks the VIP alone', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web] });
  await node.listen(node.node, 'tcp', 80);
  for (const vip of vips) {
    assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
    node.run('ip neighbour flush dev lan');
    assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
    node.run(`ip neighbour change ${vip} dev lan0 nud probe`, { where: node.client });
    const known = (): string => node.run(`ip neighbour show ${vip}`, { where: node.client });
    await node.until('the question is answered', () => !known().includes('PROBE'));
    assert.match(known(), /REACHABLE/);
  }
});

/** Fragmentation needed, MTU 1000, about a datagram from port 53 of the VIP to the client. */
function tooBig4(): Uint8Array {
  const ip = [0x45, 0, 5, 0xdc, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 77, 0, 100, 10, 77, 0, 9];
  return withChecksum(Uint8Array.from([3, 4, 0, 0, 0, 0, 3, 0xe8, ...ip, ...datagram]));
}

/** From the gateway, to go to 10.77.0.101 instead, about an echo reply of the node to 198.41.0.4. */
function redirect4(): Uint8Array {
  const ip = [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 77, 0, 1, 198, 41, 0, 4];
  return withChecksum(Uint8Array.from([5, 1, 0, 0, 10, 77, 0, 101, ...ip, ...new Array(8).fill(0)]));
}

/** Packet too big, MTU 1400; the kernel writes its checksum. */
function tooBig6(): Uint8Array {
  const address = (last: readonly number[]): number[] => [0xfd, 0x77, ...new Array(12).fill(0), ...last];
  const ip = [0x60, 0, 0, 0, 5, 0xb4, 17, 64, ...address([1, 0]), ...address([0, 9])];
  return Uint8Array.from([2, 0, 0, 0, 0, 0, 5, 0x78, ...ip, ...datagram]);
}

/** A header of UDP, from port 53 to 5353. */
const datagram: readonly number[] = [0, 53, 0x14, 0xe9, 5, 0xb4, 0, 0];

function withChecksum(packet: Uint8Array): Uint8Array {
  packet.set([0, 0], 2);
  const view = new DataView(packet.buffer);
  let sum = 0;
  for (let at = 0; at < packet.length; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(2, ~sum & 0xffff);
  return packet;
}
