// Who says that it comes from a VIP: conntrack takes what then goes to that VIP for answers, and no port
// is opened by that all the same.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { addressBytes, parseAddress } from '../../src/state/address.ts';
import { Node, skip } from './node.ts';
import { bound, probe, sendRaw } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'] as const;
const accomplices = { '10.77.0.100': '10.88.0.2', 'fd77::100': 'fd88::2' } as const;
const theirPort = 4022;
/** The header of IP is in what is sent. */
const IPPROTO_RAW = 255;

for (const [name, annotations, port] of [
  ['with egress no undeclared one', { egress: 'true' }, 161],
  ['forwarded, no listener of the node', { delivery: 'forward' }, 53],
] as const) {
  test(`a forged source opens no port of a VIP: ${name}`, { skip }, async () => {
    const service = { name: 'dns', addresses: vips, ports: ['UDP 53'], annotations };
    await using node = await Node.start({ services: [service] });
    await node.listen(node.node, 'udp', port);
    for (const vip of vips) {
      const accomplice = accomplices[vip];
      sendRaw(node.client, IPPROTO_RAW, accomplice, forged(vip, accomplice, port));
      const to = { host: vip, port, localPort: theirPort };
      assert.equal(await probe(node.backend, 'udp', to), 'closed', vip);
    }
    // IPv4 has refused it before anybody counts.
    await node.until('the forged packet is counted', async () => {
      const { vips: counted } = await node.counted();
      const [, of6] = counted.map(({ dropped }) => dropped ?? 0);
      return (of6 ?? 0) >= (port === 53 ? 1 : 2);
    });
  });
}

test('nor is one opened by a packet to a port that is declared', { skip }, async () => {
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

test('what comes from a VIP of another node passes', { skip }, async () => {
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
