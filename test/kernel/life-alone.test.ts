// What an agent does with the VIPs that it has yet to take when its controller is gone.

import { match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { FakeController } from '../agent/fake-controller.ts';
import { Node, type Service, skip } from './node.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100'], ports: ['TCP 80'] };
const address = '10.77.0.101';

async function reasonOf(node: Node): Promise<string> {
  const vip = (await node.status()).vips.find((one) => one.address === address);
  return `${vip?.reason} ${vip?.message}`;
}

/** The controller places a VIP that is no first claim, while the link has no carrier, and is gone. */
async function left(node: Node): Promise<void> {
  using controller = await FakeController.instead(node);
  const stream = await controller.next();
  stream.begin();
  node.run('ip link set lan0 down', { where: node.client });
  await node.until('it knows that', async () => /no carrier/.test(`${(await node.status()).problems}`));
  const rule = { address, filtered: true, egress: false, ports: [] };
  const placement = { address, term: { generation: stream.hello.generation, n: 1 } };
  stream.say({ type: 'delta', table: 'rules', from: 7, to: 8, set: [rule], remove: [] });
  stream.say({ type: 'delta', table: 'placements', from: 7, to: 8, set: [placement], remove: [] });
  await node.until('it has no place', async () => (await reasonOf(node)).startsWith('NoInterface'));
}

test('an agent without a controller takes no VIP that another host has by now', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  await left(node);
  node.run(`ip address add ${address}/32 dev lan0`, { where: node.client });
  node.run('ip link set lan0 up', { where: node.client });
  const isDecided = async (): Promise<boolean> => !(await reasonOf(node)).startsWith('NoInterface');
  await node.until('it has found out', isDecided);
  match(await reasonOf(node), /^AddressConflict .* answers for 10\.77\.0\.101 on lan/);
  ok(!node.run('ip address show dev lan').includes(address));
});
