// loadBalancerSourceRanges of both families, and two Services that share one VIP.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Node, type Service, skip } from './node.ts';
import { probe } from './traffic.ts';

type Sources = Readonly<Record<string, readonly string[]>>;

const v4 = '10.77.0.100';
const v6 = 'fd77::100';
const web: Service = { name: 'web', addresses: [v4, v6], ports: ['TCP 80', 'UDP 80'] };

test('a port with source ranges answers only the sources inside them, in each family', { skip }, async () => {
  // Host bits, a range in another, and one twice: all are allowed.
  const sources = ['10.77.0.9/30', '10.77.0.9/32', '10.77.0.11/30', 'fd77::8/125', '192.0.2.0/24'];
  await using node = await Node.start({ services: [{ ...web, sources }] });
  await withSources(node);
  const inside: Sources = { [v4]: ['10.77.0.9', '10.77.0.11'], [v6]: ['fd77::9', 'fd77::f'] };
  const outside: Sources = { [v4]: ['10.77.0.12', '10.77.0.7'], [v6]: ['fd77::10', 'fd77::7'] };
  for (const host of [v4, v6]) {
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const [from, wanted] of [
        ...(inside[host] ?? []).map((localAddress) => [localAddress, 'open'] as const),
        ...(outside[host] ?? []).map((localAddress) => [localAddress, 'closed'] as const),
      ]) {
        const result = await probe(node.client, protocol, { host, port: 80, localAddress: from });
        assert.equal(result, wanted, `${protocol} ${from} to ${host}`);
      }
    }
  }
});

test('source ranges of one family close the other, and a range of length 0 opens its own', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [{ ...web, sources: ['10.77.0.0/28'] }] });
  await withSources(node);
  assert.equal(await node.probe('tcp', v4, 80), 'open');
  assert.equal(await node.probe('tcp', v6, 80), 'closed');
  await node.setServices([{ ...web, sources: ['::/0'] }]);
  assert.equal(await node.probe('tcp', v4, 80), 'closed');
  assert.equal(await node.probe('tcp', v6, 80), 'open');
  await node.setServices([web]);
  assert.equal(await node.probe('tcp', v4, 80), 'open');
});

test('a shared VIP has the ports of all its Services, and keeps those of one when another goes', {
  skip,
}, async () => {
  const annotations = { 'sharing-key': 'edge' };
  const first = { ...web, ports: ['TCP 80'], annotations };
  const second = { ...web, name: 'mail', ports: ['TCP 25'], annotations };
  await using node = await Node.start({ services: [first, second] });
  for (const port of [25, 80]) await node.listen(node.node, 'tcp', port);
  for (const vip of [v4, v6]) {
    assert.equal(await node.probe('tcp', vip, 80), 'open');
    assert.equal(await node.probe('tcp', vip, 25), 'open');
  }
  const links = node.run('ip -brief address show dev lan').match(/10\.77\.0\.100/g);
  assert.equal(links?.length, 1);
  await node.setServices([second]);
  for (const vip of [v4, v6]) {
    assert.equal(await node.probe('tcp', vip, 80), 'closed');
    assert.equal(await node.probe('tcp', vip, 25), 'open');
  }
});

test('a Service of another namespace shares a VIP only with its sharing key, else hears the owner', {
  skip,
}, async () => {
  const annotations = { 'sharing-key': 'edge' };
  const first = { ...web, ports: ['TCP 80'], annotations };
  const stranger = { ...web, name: 'aaa', namespace: 'other', ports: ['TCP 25'] };
  await using node = await Node.start({ services: [first] });
  await node.listen(node.node, 'tcp', 25);
  await node.listen(node.node, 'tcp', 80);
  node.writeServices([first, stranger]);
  await node.until('the stranger is refused', async () => (await node.controllerStatus()).refused.length > 0);
  const [refusal] = (await node.controllerStatus()).refused;
  assert.equal(refusal?.key, 'other/aaa');
  assert.equal(refusal?.reason, 'AddressTaken');
  assert.match(refusal?.message ?? '', /default\/web/);
  assert.equal(await node.probe('tcp', v4, 25), 'closed');
  assert.equal(await node.probe('tcp', v4, 80), 'open');
  await node.setServices([first, { ...stranger, annotations }]);
  assert.equal(await node.probe('tcp', v4, 25), 'open');
});

/** The client has many addresses, and the node answers on port 80. */
async function withSources(node: Node): Promise<void> {
  for (const last of [7, 11, 12])
    node.run(`ip address add 10.77.0.${last}/24 dev lan0`, { where: node.client });
  for (const last of ['7', 'f', '10']) {
    node.run(`ip address add fd77::${last}/64 dev lan0 nodad`, { where: node.client });
  }
  for (const protocol of ['tcp', 'udp'] as const) await node.listen(node.node, protocol, 80);
}
