// A filter that is gone and cannot be put back: then the address goes too, and comes back behind it.
import { deepEqual, equal, match } from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { spawnIn } from '../namespaces.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };

function holds(node: Node): string[] {
  return [...node.run('ip address show dev lan').matchAll(/(10\.77\.0\.10\d|fd77::10\d)\//g)].map(
    ([, address = '']) => address,
  );
}

test('an address whose filter another process keeps from us is let go, and comes back with it', {
  skip: skip || hasTool('nft', '--version'),
}, async () => {
  await using node = await Node.start({ services: [web], agentArgs: ['--table-owner', 'off'] });
  const owner = spawnIn(node.node, ['nft', '-i'], { stdio: ['pipe', 'ignore', 'inherit'] });
  owner.stdin?.write('delete table inet vipward; add table inet vipward { flags owner; }\n');
  await node.until('the table is another’s', () => /owner/.test(node.run('nft list table inet vipward')));
  await node.until('nothing is held without its filter', () => holds(node).length === 0);
  const { vips, problems, inSync } = await node.status();
  deepEqual(
    vips.map(({ held, state }) => [held, state]),
    [
      [false, 'pending'],
      [false, 'pending'],
    ],
  );
  equal(inSync, false);
  match(problems.join(), /EPERM/);
  const told = async (): Promise<boolean> =>
    (await node.controllerStatus()).vips.every(({ state }) => state !== 'serving');
  await node.until('the controller knows', told);
  owner.stdin?.end();
  await once(owner, 'exit');
  await node.until('both are back', () => holds(node).length === 2);
  await node.settled([web]);
});
