// Links of the node go down, lose their carrier or their prefix, and come back: the agent holds its VIPs
// again at once, and announces them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { socketsOf } from '../agent/life.ts';
import { Announced } from './announced.ts';
import { Node, skip } from './node.ts';
import { answersAsDeclared, dns, hasAll, mended, problemsOf, vips, web } from './repairs.ts';
import { holdTimers } from './timers.ts';

test('the agent restores its addresses when their link is up again', { skip }, async (t) => {
  await using node = await Node.start({ services: [dns], agentArgs: ['--interface', 'lan'] });
  using sockets = socketsOf(node);
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const isWell = (): Promise<boolean> => hasAll(sockets);
  node.run('ip link set lan down');
  await node.until('the problem is reported', async () =>
    /VIPs on lan, which is down/.test(await problemsOf(node)),
  );
  await mended(t, node, { harm: 'ip link set lan up', isWell });
  node.run('ip address add fd77::1/64 dev lan nodad');
  await node.until('all answers', async () => (await node.probe('udp', 'fd77::100', 53)) === 'open');
  await answersAsDeclared(node);
  await node.settled([dns]);
  assert.equal(await problemsOf(node), '');
});

test('status names a link without carrier while VIPs are on it', { skip }, async () => {
  await using node = await Node.start({ services: [dns] });
  assert.equal(await problemsOf(node), '');
  node.run('ip link set lan0 down', { where: node.client });
  const isTold = async (): Promise<boolean> => /VIPs on lan, .*no carrier/.test(await problemsOf(node));
  await node.until('the problem is reported', isTold);
  const stateOf = async (): Promise<string[]> => {
    const said = (await node.controllerStatus()).vips.map(({ state, reason }) => `${state} ${reason}`);
    return [...new Set(said)];
  };
  await node.until('the controller reports it', async () => {
    return isDeepStrictEqual(await stateOf(), ['unowned NoInterface']);
  });
  // A new stream reports it too.
  await node.killAgent('SIGTERM');
  node.startAgent();
  await node.until('the controller reports it again', async () => {
    const { nodes } = await node.controllerStatus();
    return nodes[0]?.seq === 1 && isDeepStrictEqual(await stateOf(), ['unowned NoInterface']);
  });
  using heard = new Announced(node.client);
  {
    // Those that were begun before are repeated by timers.
    using _ = holdTimers(node);
    node.run('ip link set lan0 up', { where: node.client });
    await node.until('the VIPs are announced', () => vips.every((vip) => heard.has(vip)));
  }
  await node.until('the controller reports its end', async () => {
    return isDeepStrictEqual(await stateOf(), ['serving Announced']);
  });
  node.run('ip link set lan0 down', { where: node.client });
  await node.until('the problem is reported', isTold);
  await node.setServices([]);
  assert.equal(await problemsOf(node), '');
  node.run('ip link set lan0 up', { where: node.client });
});

test('a VIP without an interface is served once an interface has its prefix', { skip }, async (t) => {
  await using node = await Node.start({ services: [dns] });
  using sockets = socketsOf(node);
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const isWell = (): Promise<boolean> => hasAll(sockets);
  const isNamed = async (): Promise<boolean> =>
    (await node.status()).vips.some(({ reason }) => reason === 'NoInterface');
  node.run('ip link set lan down');
  node.run('ip link set lan up');
  await node.until('NoInterface is reported', isNamed);
  await mended(t, node, { harm: 'ip address add fd77::1/64 dev lan nodad', isWell });
  await node.settled([dns]);
  // As at a boot: no controller yet, and no address.
  await node.killController('SIGTERM');
  await node.killAgent('SIGTERM');
  node.run('ip address flush dev lan');
  node.startAgent();
  await node.until('NoInterface is reported', isNamed);
  node.run('ip address add 10.77.0.1/24 dev lan');
  await mended(t, node, { harm: 'ip address add fd77::1/64 dev lan nodad', isWell });
  await node.until('all answers', async () => (await node.probe('udp', 'fd77::100', 53)) === 'open');
  await answersAsDeclared(node);
});

test('the controller places VIPs on a node that had no prefix at hello once it has one', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web] });
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  await node.killAgent('SIGTERM');
  node.run('ip address flush dev lan');
  node.startAgent();
  node.writeServices([web, dns]);
  await node.until('there is no node for them', async () => {
    const { nodes, vips } = await node.controllerStatus();
    return nodes[0]?.connected === true && vips.some(({ reason }) => reason === 'NoEligibleNode');
  });
  for (const address of ['10.77.0.1/24', 'fd77::1/64']) node.run(`ip address add ${address} dev lan`);
  await node.settled([web, dns]);
  await answersAsDeclared(node);
});

test('a VIP that is an address of the node is served once the node has lost that address', {
  skip,
}, async (t) => {
  await using node = await Node.start({ services: [web] });
  using sockets = socketsOf(node);
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  node.run('ip address add 10.77.0.100/24 dev lan');
  await node.setServices([web, dns]);
  const conflicts = (await node.status()).vips.filter(({ reason }) => reason === 'AddressConflict');
  assert.deepEqual(
    conflicts.map(({ address }) => address),
    ['10.77.0.100'],
  );
  const isWell = (): Promise<boolean> => hasAll(sockets);
  await mended(t, node, { harm: 'ip address del 10.77.0.100/24 dev lan', isWell });
  await node.until('all is served', async () =>
    (await node.status()).vips.every(({ state }) => state === 'serving'),
  );
  await answersAsDeclared(node);
});

test('the agent restores its addresses on an interface that was deleted and created again', {
  skip,
}, async (t) => {
  await using node = await Node.start({ services: [dns], agentArgs: ['--interface', 'lan'] });
  using sockets = socketsOf(node);
  const isWell = (): Promise<boolean> => hasAll(sockets);
  node.run('ip link delete lan');
  assert.equal(await isWell(), false);
  node.run('ip link add lan type veth peer name lan1');
  node.run('ip link set lan1 up');
  await mended(t, node, { harm: 'ip link set lan up', isWell });
  assert.equal(await isWell(), true);
  await node.until('all is served', async () =>
    (await node.status()).vips.every(({ state }) => state === 'serving'),
  );
});
