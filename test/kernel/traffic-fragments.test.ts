// Fragmented datagrams: the first fragment is filtered by its port, and the others are useless without it.
import assert from 'node:assert/strict';
import type { Socket as Datagrams } from 'node:dgram';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';
import { bound } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const dns: Service = { name: 'dns', addresses: vips, ports: ['UDP 53'] };
const [declared, undeclared] = [53, 54];
/** Three fragments at an MTU of 1500. */
const longBytes = 4000;

// A rule that names `ct` switches defragmentation on, so that at -310 a datagram is whole again.
const tracked =
  'table inet others { chain c { type filter hook prerouting priority 0; ct state new accept; }; }';

for (const [name, rules] of [
  ['each fragment is filtered', ''],
  ['the kernel reassembles it first', tracked],
] as const) {
  test(`a fragmented datagram passes at a declared port and at no other: ${name}`, { skip }, async () => {
    await using node = await Node.start({ services: [dns] });
    if (rules !== '') node.run('nft -f -', { input: rules });
    for (const vip of vips) {
      const arrived = await arrivals(node, vip);
      const client = await bound(node.client, vip.includes(':') ? '::' : '0.0.0.0', 0);
      client.unref();
      for (const port of [undeclared, declared]) client.send(Buffer.alloc(longBytes), port, vip);
      await node.until('the long datagram is there', () => arrived.includes(`${declared}: ${longBytes}`));
      assert.deepEqual(arrived, [`${declared}: ${longBytes}`], vip);
      client.close();
    }
    const { vips: held } = await node.counted();
    assert.ok(held.every(({ dropped }) => (dropped ?? 0) >= 1));
  });
}

/** Listens on both ports of the VIP; the result grows by `port: bytes` for each datagram. */
async function arrivals(node: Node, vip: string): Promise<string[]> {
  const arrived: string[] = [];
  for (const port of [declared, undeclared]) {
    const socket: Datagrams = await bound(node.node, vip, port);
    socket.unref();
    socket.on('message', (data) => arrived.push(`${port}: ${data.length}`));
  }
  return arrived;
}
