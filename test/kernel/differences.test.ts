// What `diff` lists of the addresses of a node that the agent cannot repair.
import { deepEqual, equal } from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Differences } from '../../src/agent/answers/differences.ts';
import { runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { Node, type Service, skip } from './node.ts';
import { getJson } from './traffic.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };

async function differences(node: Node): Promise<Differences> {
  return (await getJson(node.node, 'http://127.0.0.1:9471/diff')) as Differences;
}

const isAddress = (words: string): boolean => words.startsWith('address ');

test('diff lists the addresses that an agent without state finds until a controller places them', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web] });
  deepEqual(await differences(node), { differs: false, remove: [], add: [] });
  await node.killController('SIGTERM');
  await node.killAgent('SIGTERM');
  rmSync(join(node.folder, 'agent'), { recursive: true });
  node.startAgent();
  await node.until('the agent has read the kernel', async () => (await node.status()).firewall !== 'none');
  const { differs, remove, add } = await differences(node);
  equal(differs, true);
  deepEqual(remove.filter(isAddress).toSorted(), [
    'address 10.77.0.100/32 on lan',
    'address fd77::100/128 on lan',
  ]);
  deepEqual(add.filter(isAddress), []);
  node.startController();
  await node.settled([web]);
  equal((await differences(node)).differs, false);
});

test('diff lists an address that the kernel refuses, until the kernel accepts it', { skip }, async () => {
  await using node = await Node.start({ services: [web], agentArgs: ['--interface', 'lan'] });
  node.run('sysctl -w net.ipv6.conf.lan.disable_ipv6=1');
  await node.until('it is refused', async () => (await node.status()).vips.some(({ held }) => !held));
  deepEqual(await differences(node), {
    differs: true,
    remove: [],
    add: ['address fd77::100/128 on lan'],
  });
  const { status, stdout } = runIn(node.node, [process.execPath, program, 'diff']);
  deepEqual([status, stdout], [1, '+ address fd77::100/128 on lan\n']);
  node.run('sysctl -w net.ipv6.conf.lan.disable_ipv6=0');
  await node.until('it is back', async () => !(await differences(node)).differs);
});

test('diff does not list a VIP that another host on the link has', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  node.run('ip address add 10.77.0.101/24 dev lan0', { where: node.client });
  await node.setServices([web, { name: 'theirs', addresses: ['10.77.0.101'], ports: ['TCP 80'] }]);
  const states = (await node.status()).vips.map(({ address, state }) => `${address} ${state}`);
  deepEqual(states, ['10.77.0.100 serving', '10.77.0.101 refused', 'fd77::100 serving']);
  equal((await differences(node)).differs, false);
});

test('diff does not list a VIP address that another program added', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  await node.killAgent('SIGTERM');
  for (const words of ['del 10.77.0.100/32', 'add 10.77.0.100/32']) node.run(`ip address ${words} dev lan`);
  node.startAgent();
  await node.settled([web]);
  equal((await differences(node)).differs, false);
});
