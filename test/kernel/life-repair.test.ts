// Other programs remove what is ours: the agent restores it at once, or the kernel refuses the removal.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type Sockets, socketsOf } from '../agent/life.ts';
import { runIn } from '../namespaces.ts';
import { harms, isXtables, ownerless, wordsOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const vips = ['10.77.0.100', 'fd77::100'] as const;
const dns: Service = { name: 'dns', addresses: vips, ports: ['UDP 53'] };
const web: Service = { name: 'web', addresses: ['10.77.0.101'], ports: ['TCP 80'] };
const toPrint = skip || hasTool('nft', '--version');

/** Runs a harmful command, waits for the repair, and prints how long that took. */
async function mended(
  t: TestContext,
  node: Node,
  { harm, isWell }: { harm: string; isWell: () => Promise<boolean> },
): Promise<void> {
  const beganAtMs = performance.now();
  node.run(harm);
  const doneAtMs = performance.now();
  await node.until(`repaired: ${harm}`, isWell);
  const [all, since] = [beganAtMs, doneAtMs].map((atMs) => (performance.now() - atMs).toFixed(1));
  t.diagnostic(`${harm}: right again ${since} ms after it had ended, ${all} ms after it began`);
}

async function hasAll(sockets: Sockets): Promise<boolean> {
  const made = await sockets.made();
  return vips.every((vip) => made.has(vip));
}

async function problemsOf(node: Node): Promise<string> {
  return (await node.status()).problems.join();
}

async function answersAsDeclared(node: Node): Promise<void> {
  for (const vip of vips) {
    assert.equal(await node.probe('udp', vip, 53), 'open', vip);
    assert.equal(await node.probe('udp', vip, 54), 'closed', vip);
  }
}

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
    await mended(t, node, { harm, isWell });
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
  node.run('ip link set lan0 up', { where: node.client });
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
