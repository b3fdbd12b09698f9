// Other programs remove what is ours: the agent restores it at once, or the kernel refuses the removal.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { socketsOf } from '../agent/life.ts';
import { runIn } from '../namespaces.ts';
import { harms, isXtables, ownerless, wordsOf } from './firewall.ts';
import { Node, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { answersAsDeclared, dns, hasAll, mended, vips, web } from './repairs.ts';

const toPrint = skip || hasTool('nft', '--version');

test('the agent restores rules that another program removes, and the addresses stay', {
  skip: toPrint,
}, async (t) => {
  await using node = await Node.start({ services: [dns, web], agentArgs: ['--table-owner', 'off'] });
  using sockets = socketsOf(node);
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const [table, made] = [wordsOf(node), await sockets.made()];
  for (const harm of harms) {
    const before = await sockets.generation();
    const isWell = async (): Promise<boolean> =>
      isXtables ? `${wordsOf(node)}` === `${table}` : (await sockets.generation()) >= before + 2;
    await mended(t, node, { harm, isWell, isPolled: isXtables });
    assert.deepEqual(wordsOf(node), table, harm);
    await answersAsDeclared(node);
  }
  assert.deepEqual(await sockets.made(), made);
  assert.equal((await node.status()).inSync, true);
});

test('the agent restores rules before it has reached a controller since its start', {
  skip: toPrint,
}, async () => {
  await using node = await Node.start({ services: [dns, web], agentArgs: ['--table-owner', 'off'] });
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  await node.killController('SIGTERM');
  await node.killAgent('SIGTERM');
  const table = `${wordsOf(node)}`;
  node.startAgent();
  await node.until('all is served', async () => {
    const { vips: known } = await node.status();
    return known.length === 3 && known.every(({ state }) => state === 'serving');
  });
  for (const harm of [harms[0], harms[2]]) {
    node.run(`${harm}`);
    await node.until(`repaired: ${harm}`, () => `${wordsOf(node)}` === table);
    await answersAsDeclared(node);
  }
  assert.equal((await node.status()).inSync, false);
});

test('the kernel lets no other program remove a table with an owner', {
  skip: toPrint || ownerless,
}, async () => {
  await using node = await Node.start({ services: [dns, web] });
  using sockets = socketsOf(node);
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const [table, before] = [wordsOf(node), await sockets.generation()];
  node.run('nft flush ruleset');
  const { status, stderr } = runIn(node.node, ['nft', 'delete', 'table', 'inet', 'vipward']);
  assert.equal(status, 1);
  assert.match(stderr, /Operation not permitted/);
  assert.deepEqual(wordsOf(node), table);
  assert.equal(await sockets.generation(), before);
  await answersAsDeclared(node);
});

test('the agent restores an address that another program removes', { skip }, async (t) => {
  await using node = await Node.start({ services: [dns] });
  using sockets = socketsOf(node);
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const isWell = (): Promise<boolean> => hasAll(sockets);
  for (const [index, vip] of vips.entries()) {
    await mended(t, node, { harm: `ip address del ${vip}/${[32, 128][index]} dev lan`, isWell });
  }
  await answersAsDeclared(node);
  await node.settled([dns]);
});

test('the agent mends a VIP that another program has made a source of IPv6', { skip }, async (t) => {
  await using node = await Node.start({ services: [dns] });
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const isWell = async (): Promise<boolean> =>
    / fd77::100\/128 .*\bdeprecated\b/.test(node.run('ip -o address show dev lan'));
  assert.equal(await isWell(), true);
  await mended(t, node, { harm: 'ip address change fd77::100/128 dev lan preferred_lft forever', isWell });
  await answersAsDeclared(node);
});
