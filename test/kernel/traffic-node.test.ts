// The node's own traffic: it reaches its own VIPs, opens connections from them where egress allows it, and
// never picks one as its source, even when its own address is removed and added again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { echoes, packetOf, probe, sendRaw } from './traffic.ts';

const v4 = '10.77.0.100';
const v6 = 'fd77::100';
const vips = [v4, v6];
const outsiders = { [v4]: '10.77.0.9', [v6]: 'fd77::9' } as const;
const pods = { [v4]: '10.88.0.2', [v6]: 'fd88::2' } as const;
const nft = skip || hasTool('nft', '--version');

function web(annotations: Readonly<Record<string, string>>): Service {
  return { name: 'web', addresses: vips, ports: ['TCP 80'], annotations };
}

// A forwarded port, of whichever VIP, has the second guard judge every packet to a VIP.
for (const [name, more] of [
  ['', []],
  [
    ' beside a forwarded port',
    [{ ...web({ delivery: 'forward' }), name: 'other', addresses: ['10.77.0.101'] }],
  ],
] as const)
  test(`a node reaches its own VIP${name}`, { skip }, async () => {
    await using node = await Node.start({ services: [web({ delivery: 'host' }), ...more] });
    for (const port of [80, 81]) await node.listen(node.node, 'tcp', port);
    for (const vip of vips)
      for (const port of [80, 81])
        assert.equal(await node.probe('tcp', vip, port, node.node), 'open', `${vip}:${port}`);
  });

for (const egress of ['false', 'true'])
  test(`a node and its pods reach their own VIP through the NAT of kube-proxy (egress ${egress})`, {
    skip: nft,
  }, async () => {
    const ports = ['TCP 80', 'UDP 80'];
    await using node = await Node.start({ services: [{ ...web({ delivery: 'forward', egress }), ports }] });
    const lines = [
      'add table inet kube',
      'add chain inet kube post { type nat hook postrouting priority srcnat; }',
      'add rule inet kube post oif "pods" ct status dnat masquerade',
    ];
    for (const [hook, chain] of [
      ['output', 'out'],
      ['prerouting', 'pre'],
    ]) {
      lines.push(`add chain inet kube ${chain} { type nat hook ${hook} priority -100; }`);
      for (const protocol of ['tcp', 'udp']) {
        const rule = `add rule inet kube ${chain} ${protocol} dport 80`;
        lines.push(`${rule} ip daddr ${v4} dnat ip to 10.88.0.2:8080`);
        lines.push(`${rule} ip6 daddr ${v6} dnat ip6 to [fd88::2]:8080`);
      }
    }
    node.run('nft -f -', { input: `${lines.join('\n')}\n` });
    for (const protocol of ['tcp', 'udp'] as const) {
      await node.listen(node.backend, protocol, 8080);
      for (const vip of vips)
        for (const from of [node.node, node.client, node.backend])
          assert.equal(await node.probe(protocol, vip, 80, from), 'open', `${vip} ${protocol}`);
    }
    for (const vip of vips)
      assert.ok(await echoes(await node.connect(vip, 80, node.node), 'data goes both ways'));
  });

test('with egress a connection from a VIP gets its replies, and its port is closed to others', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web({ egress: 'true' })] });
  await node.listen(node.client, 'tcp', 9000);
  await node.listen(node.node, 'tcp', 80);
  for (const vip of [v4, v6] as const) {
    const out = await node.connectFrom(node.node, { host: outsiders[vip], port: 9000, localAddress: vip });
    assert.ok(await echoes(out, 'to and fro'));
    assert.equal(await node.probe('tcp', vip, out.localPort ?? 0), 'closed');
    assert.equal(await node.probe('tcp', vip, 22), 'closed');
    assert.equal(await node.probe('tcp', vip, 80), 'open');
  }
});

test('with egress datagrams, pings and packets without ports from a VIP get their answers', {
  skip: skip || hasTool('ping', '-V'),
}, async () => {
  await using node = await Node.start({ services: [web({ egress: 'true' })] });
  await node.listen(node.client, 'udp', 9000);
  const dropped = (count: number): Promise<void> =>
    node.until(`${count} drops`, async () =>
      (await node.counted()).vips.every((vip) => (vip.dropped ?? 0) === count),
    );
  // Of two protocols that nobody has, the node sends by one.
  const [sent, other, withHeader] = [253, 254, 255];
  const payload = new Uint8Array(8);
  for (const vip of [v4, v6] as const) sendRaw(node.client, sent, vip, payload);
  await dropped(1);
  for (const vip of [v4, v6] as const) {
    const host = outsiders[vip];
    assert.equal(await probe(node.node, 'udp', { host, port: 9000, localAddress: vip }), 'open', vip);
    node.run(`ping -c 1 -W 5 -I ${vip} ${host}`);
    sendRaw(node.node, withHeader, host, packetOf(vip, host, sent, payload));
    for (const protocol of [sent, other]) sendRaw(node.client, protocol, vip, payload);
  }
  await dropped(2);
});

test('with egress the VIP of another node gets its answers through this node', {
  skip: skip || hasTool('ping', '-V'),
}, async () => {
  await using node = await Node.start({ services: [web({ egress: 'true' })] });
  const protocols = ['tcp', 'udp'] as const;
  for (const protocol of protocols) await node.listen(node.backend, protocol, 9000);
  await node.killAgent('SIGKILL');
  for (const vip of [v4, v6] as const) {
    node.run(`ip address delete ${vip} dev lan`);
    const prefix = vip === v6 ? '/128 nodad' : '/32';
    node.run(`ip address add ${vip}${prefix} dev lan0`, { where: node.client });
    const to = { host: pods[vip], port: 9000, localAddress: vip };
    for (const protocol of protocols)
      await node.until(`${protocol} from ${vip}`, async () => {
        return (await probe(node.client, protocol, to)) === 'open';
      });
    node.run(`ping -c 1 -W 5 -I ${vip} ${pods[vip]}`, { where: node.client });
    assert.equal(await node.probe('tcp', vip, 22, node.backend), 'closed', vip);
  }
});

test('without egress a connection from a VIP gets no reply', { skip }, async () => {
  await using node = await Node.start({ services: [web({})] });
  await node.listen(node.client, 'tcp', 9000);
  for (const vip of [v4, v6] as const) {
    const to = { host: outsiders[vip], port: 9000 };
    assert.equal(await probe(node.node, 'tcp', { ...to, localAddress: vip }), 'closed');
    assert.equal(await probe(node.node, 'tcp', to), 'open');
  }
});

/**
 * How a node may be addressed: with its prefix, or by a host address and a gateway that is declared on-link.
 */
const addressings = {
  'a prefix': {
    addresses: ['10.77.0.1/24', 'fd77::1/64 nodad'],
    routes: ['default via 10.77.0.9', 'default via fd77::9'],
    agentArgs: [],
  },
  'a host address': {
    addresses: ['10.77.0.1/32', 'fd77::1/128 nodad'],
    routes: ['default via 10.77.0.9 dev lan onlink', 'default via fd77::9 dev lan onlink'],
    agentArgs: ['--interface', 'lan'],
  },
} as const;

for (const [name, { addresses, routes, agentArgs }] of Object.entries(addressings)) {
  test(`the node never picks a VIP as its source after ${name} is removed and added again`, {
    skip: nft,
  }, async () => {
    await using node = await Node.start({ services: [web({})], agentArgs });
    node.run('ip address add 192.0.2.1/32 dev lan0', { where: node.client });
    node.run('ip address add 2001:db8::1/128 dev lan0 nodad', { where: node.client });
    await node.listen(node.client, 'tcp', 9000);
    await node.listen(node.node, 'tcp', 80);
    node.run('nft -f -', { input: masquerade });
    for (const address of ['10.77.0.1/24', 'fd77::1/64']) node.run(`ip address delete ${address} dev lan`);
    for (const address of addresses) node.run(`ip address add ${address} dev lan`);
    for (const route of routes) node.run(`ip route replace ${route}`);
    for (const far of ['192.0.2.1', '2001:db8::1']) {
      for (const [who, from] of [
        ['node', node.node],
        ['pod', node.backend],
      ] as const) {
        assert.equal(await probe(from, 'tcp', { host: far, port: 9000 }), 'open', `${who} to ${far}`);
      }
      assert.match(
        node.run(`ip route get ${far}`),
        far.includes(':') ? / src fd77::1 / : / src 10\.77\.0\.1 /,
      );
    }
    for (const vip of vips) assert.equal(await node.probe('tcp', vip, 80), 'open', vip);
    assert.ok((await node.status()).vips.every(({ state }) => state === 'serving'));
  });
}

const masquerade = `
add table inet kube
add chain inet kube post { type nat hook postrouting priority srcnat; }
add rule inet kube post oif "lan" iifname "pods" masquerade
`;
