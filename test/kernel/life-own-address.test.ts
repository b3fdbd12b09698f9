// A VIP that is an address of the node: a filter for it would cut off the node, so the agent writes none.
import { equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { rulesOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';

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

async function stateOf(node: Node): Promise<string> {
  const { vips } = await node.status();
  const vip = vips.find((one) => one.address === address);
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
