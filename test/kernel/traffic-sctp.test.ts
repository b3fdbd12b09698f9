// SCTP as its clients and servers speak it, where the kernel has it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, skip as noNode, type Service } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { Association, lacksSctp, serveSctp } from './sctp.ts';

const [vips, own] = [['10.77.0.100', 'fd77::100'], '10.77.0.1'];
const onNode: Service = {
  name: 'diameter',
  addresses: vips,
  ports: ['SCTP 3868', 'SCTP 5868'],
  annotations: { delivery: 'host' },
};
const behind: Service = {
  name: 'signalling',
  addresses: vips,
  ports: ['SCTP 2905'],
  annotations: { delivery: 'forward' },
};
/** As kube-proxy writes them: a port of the Service, and its NodePort. */
const dnat = `
add table inet kube
add chain inet kube pre { type nat hook prerouting priority dstnat; }
add rule inet kube pre meta nfproto ipv4 sctp dport { 2905, 30905 } dnat ip to 10.88.0.2:2905
add rule inet kube pre meta nfproto ipv6 sctp dport { 2905, 30905 } dnat ip6 to [fd88::2]:2905
`;

async function isOpen(node: Node, host: string, port: number): Promise<boolean> {
  using association = new Association(node.client, host, port);
  return await association.echoes('probe');
}

test('associations come up at declared ports alone, through DNAT too, and stall once their port is removed', {
  skip: noNode || lacksSctp() || hasTool('nft', '--version'),
}, async () => {
  await using node = await Node.start({ services: [onNode, behind] });
  await using closers = new AsyncDisposableStack();
  for (const host of [...vips, own])
    for (const port of [3868, 5868, 3869, 2905]) closers.defer(await serveSctp(node.node, host, port));
  for (const port of [3869, 2905]) {
    assert.equal(await isOpen(node, own, port), true, `${port}`);
    for (const vip of vips) assert.equal(await isOpen(node, vip, port), false, `${vip} ${port}`);
  }
  for (const backend of ['10.88.0.2', 'fd88::2']) closers.defer(await serveSctp(node.backend, backend, 2905));
  node.run('nft -f -', { input: dnat });
  assert.equal(await isOpen(node, own, 30905), true);
  for (const vip of vips) {
    assert.equal(await isOpen(node, vip, 2905), true, vip);
    assert.equal(await isOpen(node, vip, 30905), false, vip);
  }
  const upAt = (port: number) => vips.map((vip) => closers.use(new Association(node.client, vip, port)));
  const [removed, kept] = [upAt(3868), upAt(5868)];
  for (const one of [...removed, ...kept]) assert.equal(await one.echoes('hello'), true);
  await node.setServices([{ ...onNode, ports: ['SCTP 5868'] }, behind]);
  for (const one of removed) assert.equal(await one.echoes('again'), false);
  for (const one of kept) assert.equal(await one.echoes('again'), true);
});
