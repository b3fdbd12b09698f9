// Ports and foreign NAT: a NodePort is closed at a VIP, and a declared port reaches its Service, never a
// listener of the node, unless the Service says so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const backends = ['10.88.0.2', 'fd88::2'];
const forward: Service = {
  name: 'web',
  addresses: vips,
  ports: ['TCP 80'],
  annotations: { delivery: 'forward' },
};
const legacy = skip || hasTool('iptables-legacy', '-V') || hasTool('ip6tables-legacy', '-V');
const nft = skip || hasTool('nft', '--version');

/** Rules that take a port of every local address to the backend, as kube-proxy does for a NodePort. */
const dnat = {
  'iptables-legacy': (node: Node, port: number): void => {
    for (const [tool, to] of [
      ['iptables-legacy', backends[0]],
      ['ip6tables-legacy', `[${backends[1]}]`],
    ]) {
      node.run(`${tool} -w -t nat -A PREROUTING -p tcp --dport ${port} -j DNAT --to-destination ${to}:8080`);
    }
  },
  nft: (node: Node, port: number): void => {
    const rules = [
      ['ip', backends[0]],
      ['ip6', `[${backends[1]}]`],
    ].map(
      ([family, to]) =>
        `add rule inet kube pre meta nfproto ${nfproto(family)} ${redirect(family, port, to)}`,
    );
    const chain = 'add chain inet kube pre { type nat hook prerouting priority dstnat; }';
    node.run('nft -f -', { input: ['add table inet kube', chain, ...rules, ''].join('\n') });
  },
};

// A VIP with egress is filtered after conntrack, and still before NAT.
for (const [tool, egress, skipped] of [
  ['iptables-legacy', 'false', legacy],
  ['iptables-legacy', 'true', legacy],
  ['nft', 'false', nft],
  ['nft', 'true', nft],
] as const) {
  test(`at a VIP a NodePort of ${tool} is closed and a declared port is open (egress ${egress})`, {
    skip: skipped,
  }, async () => {
    const annotations = { ...forward.annotations, egress };
    await using node = await Node.start({ services: [{ ...forward, annotations }] });
    await node.listen(node.backend, 'tcp', 8080);
    dnat[tool](node, 30080);
    dnat[tool](node, 80);
    for (const own of ['10.77.0.1', 'fd77::1']) assert.equal(await node.probe('tcp', own, 30080), 'open');
    for (const vip of vips) {
      assert.equal(await node.probe('tcp', vip, 30080), 'closed', vip);
      assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
    }
  });
}

test('a port with delivery forward never reaches a listener of the node; one with delivery host does', {
  skip: nft,
}, async () => {
  await using node = await Node.start({ services: [forward] });
  await node.listen(node.node, 'tcp', 80);
  for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'closed', vip);
  await node.listen(node.backend, 'tcp', 8080);
  dnat.nft(node, 80);
  for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
  node.run('nft delete table inet kube');
  for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'closed', vip);
  await node.setServices([{ ...forward, annotations: { delivery: 'host' } }]);
  for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
});

// REDIRECT takes the first address of the interface that a packet came in by, which is that of the latest
// VIP.
for (const delivery of ['host', 'forward']) {
  test(`a foreign REDIRECT still works for a declared port of a VIP (delivery ${delivery})`, {
    skip: nft,
  }, async () => {
    await using node = await Node.start({ services: [{ ...forward, annotations: { delivery } }] });
    await node.listen(node.node, 'tcp', 8080);
    const input = [
      'add table inet theirs',
      'add chain inet theirs pre { type nat hook prerouting priority dstnat; }',
      'add rule inet theirs pre iifname lan tcp dport { 80, 8000 } redirect to :8080',
      '',
    ].join('\n');
    node.run('nft -f -', { input });
    for (const own of ['10.77.0.1', 'fd77::1']) assert.equal(await node.probe('tcp', own, 8000), 'open', own);
    for (const vip of vips) {
      assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
      for (const port of [8000, 8080]) assert.equal(await node.probe('tcp', vip, port), 'closed', vip);
    }
  });
}

test('a foreign rule that drops a declared port still drops it', { skip: nft }, async () => {
  await using node = await Node.start({
    services: [{ ...forward, annotations: { delivery: 'host' } }],
  });
  await node.listen(node.node, 'tcp', 80);
  for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
  const chain = 'add chain inet theirs input { type filter hook input priority 0; }';
  const input = ['add table inet theirs', chain, 'add rule inet theirs input tcp dport 80 drop', ''].join(
    '\n',
  );
  node.run('nft -f -', { input });
  for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'closed', vip);
});

function nfproto(family = 'ip'): string {
  return family === 'ip' ? 'ipv4' : 'ipv6';
}

function redirect(family = 'ip', port = 0, to = ''): string {
  return `tcp dport ${port} dnat ${family} to ${to}:8080`;
}
