// What a client of a VIP can reach: the declared ports of its Services, in both families, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, skip } from './node.ts';
import { sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const declared = { tcp: [80, 443, 8443], udp: [53, 443] };
const ports = [
  ...declared.tcp.map((port) => `TCP ${port}`),
  ...declared.udp.map((port) => `UDP ${port}`),
  'SCTP 3868',
];

/** 50 undeclared ports: neighbours of declared ones, well-known ones, and more from the whole range. */
const undeclared = [
  ...[1, 21, 22, 25, 52, 54, 79, 81, 111, 179, 442, 444, 2379, 2380, 3868, 6443, 8442, 8444, 9470, 9471],
  ...[10250, 10256, 30080, 32767, 65535],
  ...Array.from({ length: 25 }, (_, index) => 1031 + 1237 * index),
];

for (const protocol of ['tcp', 'udp'] as const) {
  test(`every declared ${protocol} port of a VIP answers, and none of 50 others does`, { skip }, async () => {
    await using node = await Node.start({ services: [{ name: 'web', addresses: vips, ports }] });
    for (const port of [...declared[protocol], 22, 81, 8444, 30080]) {
      await node.listen(node.node, protocol, port);
    }
    for (const vip of vips) {
      for (const port of declared[protocol]) {
        assert.equal(await node.probe(protocol, vip, port), 'open', `${vip} ${port}`);
      }
      const tried = undeclared.map(async (port) => [port, await node.probe(protocol, vip, port)] as const);
      const answered = (await Promise.all(tried)).filter(([, result]) => result !== 'closed');
      assert.deepEqual(answered, [], vip);
    }
    const { vips: held } = await node.counted();
    assert.ok(held.every(({ dropped }) => (dropped ?? 0) >= undeclared.length));
  });
}

test('the agent filters only VIPs: a port of the addresses of the node stays open', { skip }, async () => {
  await using node = await Node.start({ services: [{ name: 'web', addresses: vips, ports }] });
  await node.listen(node.node, 'tcp', 22);
  for (const own of ['10.77.0.1', 'fd77::1']) assert.equal(await node.probe('tcp', own, 22), 'open');
});

test('SCTP passes and is counted at its declared port, and is dropped at others', { skip }, async () => {
  await using node = await Node.start({
    services: [{ name: 'web', addresses: vips, ports }],
    agentArgs: ['--counters'],
  });
  for (const vip of vips) {
    sendRaw(node.client, 132, vip, sctpInit(3868));
    for (const port of [80, 3867, 3869]) sendRaw(node.client, 132, vip, sctpInit(port));
  }
  await node.until('the drops are counted', async () => {
    return (await node.status()).vips.every(({ dropped }) => dropped === 3);
  });
  for (const vip of (await node.counted()).vips) {
    assert.deepEqual(
      vip.ports.filter(({ packets }) => packets !== 0),
      [{ protocol: 'SCTP', port: 3868, packets: 1 }],
    );
  }
});

test('a protocol without ports does not reach a VIP', { skip }, async () => {
  await using node = await Node.start({ services: [{ name: 'web', addresses: vips, ports }] });
  const gre = 47;
  for (const vip of vips) sendRaw(node.client, gre, vip, new Uint8Array([0, 0, 0x08, 0]));
  await node.until('the drops are counted', async () => {
    return (await node.status()).vips.every(({ dropped }) => dropped === 1);
  });
});

/** An INIT without a checksum: the filter reads only ports, and nothing behind it speaks SCTP. */
function sctpInit(port: number): Uint8Array {
  const packet = new DataView(new ArrayBuffer(32));
  packet.setUint16(0, 40000);
  packet.setUint16(2, port);
  packet.setUint8(12, 1);
  packet.setUint16(14, 20);
  return new Uint8Array(packet.buffer);
}
