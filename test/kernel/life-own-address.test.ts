// A VIP that is an address of the node: a filter for it would cut off the node, so the agent writes none.
import { equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import type { Namespace } from '../namespaces.ts';
import { rulesOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const address = '10.77.0.150';
const other: Service = { name: 'other', addresses: ['10.77.0.100'], ports: ['TCP 80'] };
const bad: Service = { name: 'bad', addresses: [address], ports: ['TCP 80'] };
const take = `ip address add ${address}/24 dev lan`;
const give = `ip address del ${address}/24 dev lan`;

async function started(services: readonly Service[]): Promise<Node> {
  const node = await Node.start({ services });
  for (const port of [22, 80]) await node.listen(node.node, 'tcp', port);
  return node;
}

async function isOpen(node: Node): Promise<boolean> {
  equal(await node.probe('tcp', '10.77.0.100', 22), 'closed');
  return (await node.probe('tcp', address, 22)) === 'open' && !rulesOf(node).includes(address);
}

async function stateOf(node: Node, of = address): Promise<string> {
  const { vips } = await node.status();
  const vip = vips.find((one) => one.address === of);
  return `${vip?.state} ${vip?.reason} ${vip?.message}`;
}

test('the agent does not filter a VIP that is an address of the node, and serves it once it is not', {
  skip,
}, async () => {
  await using node = await started([other]);
  node.run(take);
  ok(await isOpen(node));
  await node.setServices([other, bad]);
  ok(await isOpen(node));
  match(await stateOf(node), /^refused AddressConflict .*address of this node.*; choose another address/);
  node.run(give);
  await node.until('it is served', async () => (await stateOf(node)).startsWith('serving'));
  equal(await node.probe('tcp', address, 22), 'closed');
  equal(await node.probe('tcp', address, 80), 'open');
});

test('the agent removes the filter of a VIP that becomes an address of the node', { skip }, async () => {
  await using node = await started([other, bad]);
  equal(await node.probe('tcp', address, 22), 'closed');
  node.run(take);
  await node.until('the node is reachable at its address', () => isOpen(node));
  ok(!node.run('ip address show dev lan').includes(`${address}/32`));
  node.run(give);
  await node.until('it is served', async () => (await stateOf(node)).startsWith('serving'));
});

test('an agent that starts removes the filter of a node address before it has reached a controller', {
  skip,
}, async () => {
  await using node = await started([other, bad]);
  await node.killAgent('SIGKILL');
  await node.killController('SIGTERM');
  ok(rulesOf(node).includes(address));
  node.run(take);
  equal(await node.probe('tcp', address, 22), 'closed');
  node.startAgent();
  await node.until('the node is reachable at its address', () => isOpen(node));
  ok(!node.run('ip address show dev lan').includes(`${address}/32`));
  ok(node.run('ip address show dev lan').includes('10.77.0.100/32'));
});

test('a VIP that another program added and that the kernel marked dadfailed is refused by name', {
  skip: skip || hasTool('sysctl', '-V'),
}, async () => {
  const six = { name: 'six', addresses: ['fd77::150'], ports: ['TCP 80'] };
  const change = (line: string, where: Namespace) => node.run(`ip address ${line}`, { where });
  await using node = await Node.start({ services: [other], agentArgs: ['--first-claim', 'take'] });
  node.run('sysctl -w net.ipv6.conf.lan.accept_dad=1');
  change('add fd77::150/128 dev lan0 nodad', node.client);
  change('add fd77::150/128 dev lan', node.node);
  await node.until('duplicate address detection has failed', () =>
    /dadfailed/.test(node.run('ip address show dev lan')),
  );
  await node.setServices([other, six]);
  const words =
    /^refused AddressConflict .* another host with fd77::150 on lan \(dadfailed\); take the address/;
  match(await stateOf(node, 'fd77::150'), words);
  change('del fd77::150/128 dev lan0', node.client);
  change('del fd77::150/128 dev lan', node.node);
  await node.until('it is served', async () => (await stateOf(node, 'fd77::150')).startsWith('serving'));
});
