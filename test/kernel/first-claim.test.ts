// First claims: the agent probes the link, and a host that answers for a VIP keeps it and is named.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeController } from '../agent/fake-controller.ts';
import type { Namespace } from '../namespaces.ts';
import { Liar } from './liar.ts';
import { Node, type Service, skip } from './node.ts';
import { offer } from './offers.ts';
import { Stranger } from './stranger.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };
const other: Service = { name: 'other', addresses: ['10.77.0.101', 'fd77::101'], ports: ['TCP 80'] };

const base: Service = { name: 'base', addresses: ['10.77.0.110'], ports: ['TCP 80'] };

/** The VIPs that the kernel of the node has. */
function vipsOf(node: Node): string[] {
  const found = node.run('ip address show dev lan').matchAll(/inet6? (10\.77\.0\.1\d\d|fd77::1\d\d)\//g);
  return [...found].map(([, address = '']) => address).sort();
}

function vips(...services: readonly Service[]): string[] {
  return services.flatMap(({ addresses }) => addresses).sort();
}

async function refusalOf(node: Node, address: string): Promise<string> {
  const vip = (await node.status()).vips.find((one) => one.address === address);
  return vip?.state === 'refused' ? `${vip.reason} ${vip.message}` : `${vip?.state}`;
}

/** Gives the client a VIP as an address of its own, or takes it away. */
function stranger(node: Node, what: 'add' | 'del', addresses: readonly string[]): void {
  for (const address of addresses) {
    const host = address.includes(':') ? `${address}/128 dev lan0` : `${address}/32 dev lan0`;
    const nodad = what === 'add' && address.includes(':') ? ' nodad' : '';
    node.run(`ip address ${what} ${host}${nodad}`, { where: node.client });
  }
}

function macOf(node: Node, where: Namespace = node.client, link = 'lan0'): string {
  const [, mac = ''] = /link\/ether (\S+)/.exec(node.run(`ip link show ${link}`, { where })) ?? [];
  return mac;
}

test('the agent names the MAC that answers for a VIP, serves the others, and takes the VIP when it is free', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [base] });
  stranger(node, 'add', web.addresses);
  await node.setServices([base, web, other]);
  deepEqual(vipsOf(node), vips(base, other));
  for (const address of web.addresses) {
    match(
      await refusalOf(node, address),
      new RegExp(`^AddressConflict ${macOf(node)} answers for ${address} on lan; `),
    );
    const vip = (await node.controllerStatus()).vips.find((one) => one.address === address);
    deepEqual([vip?.state, vip?.reason, vip?.node], ['refused', 'AddressConflict', 'node1']);
    ok(vip?.message.startsWith(macOf(node)));
  }
  stranger(node, 'del', web.addresses);
  await node.until('all are served', () => `${vipsOf(node)}` === `${vips(base, web, other)}`);
  await node.settled([base, web, other]);
  for (const address of web.addresses) equal(await refusalOf(node, address), 'serving');
});

test('one answer to three probes is no conflict, and the agent takes the VIP', { skip }, async () => {
  await using node = await Node.start({ services: [base] });
  const reaction = (times: number) => (times === 2 ? 'answers' : 'is silent');
  using offered = await offer(node, [base], (all) => [new Stranger(node.client, 'lan0', all, reaction)]);
  deepEqual(vipsOf(node), vips(base, offered.service));
  deepEqual(Object.values(offered.who[0]?.asked ?? {}), [3, 3]);
});

test('two answers to three probes are a conflict', { skip }, async () => {
  await using node = await Node.start({ services: [base] });
  const reaction = (times: number) => (times === 2 ? 'is silent' : 'answers');
  using offered = await offer(node, [base], (all) => [new Stranger(node.client, 'lan0', all, reaction)]);
  deepEqual(vipsOf(node), base.addresses);
  const words = `^AddressConflict ${offered.who[0]?.mac} answers for`;
  for (const address of offered.service.addresses) match(await refusalOf(node, address), new RegExp(words));
});

test('the agent refuses a VIP that another host probes too, names its MAC, and takes the VIP later', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [base, other] });
  const reaction = (times: number) => (times === 1 ? 'asks' : 'is silent');
  const meet = (all: readonly string[]) => [new Stranger(node.client, 'lan0', all, reaction)];
  using offered = await offer(node, [base, other], meet);
  deepEqual(vipsOf(node), vips(base, other));
  for (const address of offered.service.addresses)
    match(
      await refusalOf(node, address),
      new RegExp(`^AddressConflict ${offered.who[0]?.mac} is about to take ${address} on lan; `),
    );
  const all = vips(base, other, offered.service);
  await node.until('the VIPs are taken', () => `${vipsOf(node)}` === `${all}`);
});

test('neither a probe of the agent that comes back nor the request of a client is a conflict', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [base] });
  const reaction = (times: number) => (times === 1 ? 'echoes' : 'calls');
  using offered = await offer(node, [base], (all) => [new Stranger(node.client, 'lan0', all, reaction)]);
  deepEqual(vipsOf(node), vips(base, offered.service));
  deepEqual(Object.values(offered.who[0]?.asked ?? {}), [2, 2]);
});

test('the link has allmulti set only while the agent probes', { skip }, async (t) => {
  await using node = await Node.start({ services: [base] });
  const allGroups = () => /allmulti (\d+)/.exec(node.run('ip -d link show lan'))?.[1];
  if (allGroups() === undefined) return t.skip('this kernel does not report IFLA_ALLMULTI');
  await node.until('no probe is under way', () => allGroups() === '0');
  // The agent probes a VIP again and again while a host answers for it.
  stranger(node, 'add', web.addresses);
  node.writeServices([base, web]);
  await node.until('allmulti is set by both', () => allGroups() === '2');
  stranger(node, 'del', web.addresses);
  await node.until('allmulti is cleared', () => allGroups() === '0');
});

test('answers from another link, or that a router forwarded, are no conflict', { skip }, async () => {
  await using node = await Node.start({ services: [base] });
  using offered = await offer(node, [base], (all) => [
    new Liar(node.backend, 'pods0', all),
    new Liar(node.client, 'lan0', all.slice(1), 64),
  ]);
  deepEqual(vipsOf(node), vips(base, offered.service));
});

test('unasked answers from a host on the link of a VIP are a conflict', { skip }, async () => {
  await using node = await Node.start({ services: [base] });
  using _offered = await offer(node, [base], (all) => [new Liar(node.client, 'lan0', all)]);
  deepEqual(vipsOf(node), base.addresses);
});

test('a first claim waits while its link has no carrier, and status says why', { skip }, async () => {
  await using node = await Node.start({ services: [base] });
  stranger(node, 'add', web.addresses);
  node.run('ip link set lan0 down', { where: node.client });
  node.writeServices([base, web, other]);
  const waiting = async (address: string) =>
    (await node.status()).vips.find((vip) => vip.address === address)?.message;
  for (const address of vips(web, other))
    await node.until(`${address} waits`, async () =>
      /^lan has no carrier: .* and waits$/.test((await waiting(address)) ?? ''),
    );
  await sleep(1500);
  ok((await node.status()).inSync, 'all that was received is committed');
  deepEqual(vipsOf(node), base.addresses);
  // All at once: an interface that goes down loses its IPv6 addresses.
  const six = web.addresses.filter((address) => address.includes(':'));
  const lines = six.map((address) => `address replace ${address}/128 dev lan0 nodad\n`);
  node.run('ip -batch -', { where: node.client, input: `link set lan0 up\n${lines.join('')}` });
  await node.settled([base, web, other]);
  deepEqual(vipsOf(node), vips(base, other));
});

test('the agent takes a free VIP while rules of another wait for their commit', { skip }, async () => {
  await using node = await Node.start({ services: [base], agentArgs: ['--commit-interval', '1m'] });
  let port = 1000;
  const change = () => node.writeServices([{ ...base, ports: [`TCP ${++port}`] }, web]);
  const timer = setInterval(change, 100).unref();
  await node.until('it is taken', () => `${vipsOf(node)}` === `${vips(base, web)}`);
  clearInterval(timer);
});

test('an agent with --first-claim take sends no probes and takes the VIPs', { skip }, async () => {
  await using node = await Node.start({ services: [base], agentArgs: ['--first-claim', 'take'] });
  using all = new Stranger(node.client, 'lan0', web.addresses, () => 'answers');
  await node.setServices([base, web]);
  deepEqual(vipsOf(node), vips(base, web));
  deepEqual(all.asked, {});
});

test('the agent probes only the VIPs that the controller names as first claims', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  using controller = await FakeController.instead(node);
  const stream = await controller.next();
  stream.begin();
  stranger(node, 'add', other.addresses);
  using seen = new Stranger(node.client, 'lan0', other.addresses, () => 'is silent');
  const [moved, first] = other.addresses;
  const { generation } = stream.hello;
  const rule = (address: string | undefined) => ({ address, filtered: true, egress: false, ports: [] });
  const placement = (address: string | undefined, n: number) => ({ address, term: { generation, n } });
  const tables = [
    ['rules', [rule(moved), rule(first)], undefined],
    ['placements', [placement(moved, 1), placement(first, 2)], [first]],
  ] as const;
  for (const [table, set, named] of tables)
    stream.say({ type: 'delta', table, from: 7, to: 8, set, remove: [], ...(named && { first: named }) });
  await node.until('it is taken', () => vipsOf(node).includes(`${moved}`));
  equal(seen.asked[`${moved}`], undefined);
  await node.until('the other is refused', async () =>
    /^AddressConflict/.test(await refusalOf(node, `${first}`)),
  );
  ok(!vipsOf(node).includes(`${first}`));
  const refused = stream.heard.find((message) => message.type === 'refused');
  equal(refused?.type === 'refused' && refused.mac, macOf(node));
  deepEqual(
    stream.hello.macs,
    ['lan', 'pods'].map((link) => macOf(node, node.node, link)),
  );
  stream.say({ type: 'delta', table: 'placements', from: 8, to: 9, set: [placement(first, 3)], remove: [] });
  await node.until('the other is taken too', () => vipsOf(node).includes(`${first}`));
});

test('without a controller the agent takes only the VIPs that no host answers for', { skip }, async () => {
  await using node = await Node.start({ services: [web, other] });
  await node.until('the controller has heard that it has them', async () =>
    (await node.controllerStatus()).vips.every(({ state }) => state === 'serving'),
  );
  await node.killController('SIGTERM');
  await node.killAgent('SIGTERM');
  for (const address of [...web.addresses, ...other.addresses])
    node.run(`ip address del ${address}/${address.includes(':') ? 128 : 32} dev lan`);
  stranger(node, 'add', web.addresses);
  node.startAgent();
  await node.until('the free VIPs are taken', () => `${vipsOf(node)}` === `${other.addresses}`);
  for (const address of web.addresses)
    await node.until('the answered VIPs are refused', async () =>
      /^AddressConflict/.test(await refusalOf(node, address)),
    );
  // By the records of the controller this node had them.
  node.startController();
  await node.settled([web, other]);
  deepEqual(vipsOf(node), vips(web, other));
  for (const address of web.addresses) equal(await refusalOf(node, address), 'serving');
});

test('a restarted agent probes refused first claims, but no VIP that it has held', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  stranger(node, 'add', [...web.addresses, ...other.addresses]);
  await node.setServices([web, other]);
  deepEqual(vipsOf(node), web.addresses);
  await node.killAgent('SIGTERM');
  for (const address of web.addresses)
    node.run(`ip address del ${address}/${address.includes(':') ? 128 : 32} dev lan`);
  node.startAgent();
  await node.settled([web, other]);
  deepEqual(vipsOf(node), web.addresses);
  for (const address of other.addresses) match(await refusalOf(node, address), /^AddressConflict /);
});
