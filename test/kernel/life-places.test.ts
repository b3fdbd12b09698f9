// Where the agent puts VIPs: other programs add the same addresses, interfaces and gateways change, and the
// kernel refuses.
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeController } from '../agent/fake-controller.ts';
import { monitor } from '../agent/life.ts';
import { rulesOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';

const web: Service = { name: 'web', addresses: ['10.77.0.100', 'fd77::100'], ports: ['TCP 80'] };
const other: Service = { name: 'other', addresses: ['10.77.0.101'], ports: ['TCP 80'] };

function addressesOn(node: Node, link: string): string[] {
  const found = node.run(`ip address show dev ${link}`).matchAll(/inet6? (10\.77\.0\.1\d\d|fd77::1\d\d)\//g);
  return [...found].map(([, address = '']) => address).sort();
}

async function reasonOf(node: Node, address: string): Promise<string> {
  const { vips } = await node.status();
  const vip = vips.find((one) => one.address === address);
  return vip === undefined ? 'unknown' : `${vip.reason} ${vip.message}`;
}

test('the agent serves a VIP address that another program added, and leaves it when the VIP goes', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [other] });
  node.run('ip address add 10.77.0.100/32 dev lan');
  node.run('ip address add fd77::100/128 dev lan nodad');
  const theirs = (): string[] =>
    node
      .run('ip -oneline address show dev lan')
      .split('\n')
      .filter((line) => /\.100\/|::100\//.test(line));
  const before = theirs();
  await node.setServices([other, web]);
  for (const { held, state } of (await node.status()).vips) deepEqual([held, state], [true, 'serving']);
  deepEqual(theirs(), before);
  await node.setServices([other]);
  deepEqual(theirs(), before);
  await node.setServices([other, web]);
  for (const address of ['10.77.0.100/32', 'fd77::100/128']) node.run(`ip address del ${address} dev lan`);
  await node.until('the removed addresses are ours now', () => addressesOn(node, 'lan').length === 3);
  await node.setServices([other]);
  deepEqual(addressesOn(node, 'lan'), other.addresses);
});

test('the agent refuses a VIP that is a gateway of the node, and takes it once it is not', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [other] });
  node.run('ip route add default via 10.77.0.150');
  const gateway: Service = { name: 'gateway', addresses: ['10.77.0.150'], ports: ['TCP 80'] };
  await node.setServices([other, gateway]);
  match(await reasonOf(node, '10.77.0.150'), /^AddressConflict .*gateway of this node/);
  deepEqual(addressesOn(node, 'lan'), other.addresses);
  node.run('ip route delete default');
  await node.until('it is served', () => addressesOn(node, 'lan').includes('10.77.0.150'));
});

test('the agent takes no VIP on a link until the link has carrier', { skip }, async () => {
  await using node = await Node.start({ services: [other, web] });
  await node.killAgent('SIGTERM');
  node.run('ip link set lan0 down', { where: node.client });
  node.run('ip address del 10.77.0.100/32 dev lan');
  node.startAgent();
  await node.until('it is refused', async () =>
    /^NoInterface lan has no carrier/.test(await reasonOf(node, '10.77.0.100')),
  );
  ok(!addressesOn(node, 'lan').includes('10.77.0.100'));
  deepEqual(addressesOn(node, 'lan').includes(`${other.addresses[0]}`), true);
  node.run('ip link set lan0 up', { where: node.client });
  await node.until('it is taken', () => addressesOn(node, 'lan').includes('10.77.0.100'));
});

test('a VIP moves to a link with a longer prefix only once that link has carrier', { skip }, async () => {
  await using node = await Node.start({ services: [other, web] });
  node.run('ip link add near type veth peer name far');
  node.run('ip address add 10.77.0.102/30 dev near');
  const heard = await monitor(node, 'ip');
  node.run('ip link set near up');
  await sleep(1000);
  ok(addressesOn(node, 'lan').includes('10.77.0.100'));
  node.run('ip link set far up');
  await node.until('the VIP is on near', () => addressesOn(node, 'near').includes('10.77.0.100'));
  const went = (await heard.end()).findIndex((line) => /^Deleted.*10\.77\.0\.100\/32/.test(line));
  ok(went >= 0);
});

test('the agent releases a VIP that becomes an address of the node', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  node.run('ip address add 10.77.0.100/24 dev lan');
  const isLetGo = (): boolean => !/10\.77\.0\.100\/32/.test(node.run('ip address show dev lan'));
  await node.until('only the address of the node is left', isLetGo);
  match(await reasonOf(node, '10.77.0.100'), /^AddressConflict/);
  match(node.run('ip address show dev lan'), /10\.77\.0\.100\/24/);
});

test('the agent reports that it holds no VIP after its interface has lost all addresses', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web, other] });
  using controller = await FakeController.instead(node);
  const stream = await controller.next();
  equal(stream.hello.held.length, 3);
  stream.begin();
  // The prefixes go first: while one is there, the agent restores a VIP in it, and that outlives a flush.
  for (const address of ['10.77.0.1/24', 'fd77::1/64']) node.run(`ip address del ${address} dev lan`);
  node.run('ip address flush dev lan');
  await node.until('the agent reports none', () => {
    const last = stream.heard.findLast((message) => message.type === 'held');
    return last?.type === 'held' && last.vips.length === 0;
  });
});

test('the agent removes an address at once while its rules wait for their commit', { skip }, async () => {
  await using node = await Node.start({ services: [web, other], agentArgs: ['--commit-interval', '100s'] });
  for (let port = 81; port <= 83; port++) {
    const { seq } = await node.controllerStatus();
    node.writeServices([{ ...web, ports: [`TCP ${port}`] }, other]);
    await node.until('the controller has sent it', async () => (await node.controllerStatus()).seq > seq);
  }
  node.writeServices([other]);
  await node.until('the address is gone', () => `${addressesOn(node, 'lan')}` === `${other.addresses}`);
  match(rulesOf(node), /10\.77\.0\.100/);
});

test('the agent takes no VIP before its changed rules are committed, even during a repair', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [web, other], agentArgs: ['--commit-interval', '100s'] });
  using controller = await FakeController.instead(node);
  const stream = await controller.next();
  stream.begin();
  const [address = ''] = web.addresses;
  const rest = { service: 'default/web', delivery: 'host', sources: null };
  let seq = 7;
  const say = (table: 'rules' | 'placements', change: object): void =>
    stream.say({ type: 'delta', table, from: seq, to: ++seq, set: [], remove: [], ...change });
  say('placements', { remove: [address] });
  await node.until('it is gone', () => !addressesOn(node, 'lan').includes(address));
  seq = 7;
  let port = 80;
  const isInForce = (): boolean =>
    new RegExp(`${address}( \\. tcp \\. |,tcp:)${port}\\b`).test(rulesOf(node));
  await node.until('a change waits until a commit is due', async () => {
    const ports = [{ protocol: 'TCP', port: ++port, ...rest }];
    say('rules', { set: [{ address, filtered: true, egress: false, ports }] });
    await node.status();
    return !isInForce();
  });
  seq = 8;
  const term = { generation: stream.hello.generation, n: 90 };
  say('placements', { set: [{ address, term }] });
  await node.until('its placement has come', async () =>
    (await node.status()).vips.some((vip) => vip.address === address && vip.term?.n === 90),
  );
  node.run(`ip address del ${other.addresses}/32 dev lan`);
  await node.until('the other is back', () => addressesOn(node, 'lan').includes(`${other.addresses}`));
  ok(!addressesOn(node, 'lan').includes(address) || isInForce());
});

test('after a change of --interface a VIP is on the new one before it leaves the old', { skip }, async () => {
  await using node = await Node.start({ services: [web, other] });
  const vips = [...other.addresses, ...web.addresses].sort();
  deepEqual(addressesOn(node, 'lan'), vips);
  await node.killAgent('SIGTERM');
  await using heard = await monitor(node, 'ip');
  node.startAgent(['--interface', 'pods']);
  await node.until('the VIPs are on pods', () => `${addressesOn(node, 'pods')}` === `${vips}`);
  await node.until('no VIP is on lan', () => addressesOn(node, 'lan').length === 0);
  await node.settled([web, other]);
  const lines = await heard.end();
  for (const vip of vips) {
    const about = lines.filter((line) => line.includes(` ${vip}/`));
    const [came, went] = [/^\d.* pods /, /^Deleted.* lan /].map((what) =>
      about.findIndex((line) => what.test(line)),
    );
    ok(came !== undefined && went !== undefined && came >= 0 && came < went, about.join('\n'));
  }
});

test('status names the interfaces of --interface of which none is present and up', { skip }, async () => {
  await using node = await Node.start({ services: [other] });
  await node.killAgent('SIGTERM');
  node.run('ip address del 10.77.0.101/32 dev lan');
  const said = 'no interface of --interface lann,spare exists and is up: set it up, or name another';
  node.run('ip link add spare type veth peer name peer');
  node.startAgent(['--interface', 'lann,spare']);
  await node.until(
    'it is refused',
    async () => (await reasonOf(node, '10.77.0.101')) === `NoInterface ${said}`,
  );
  deepEqual((await node.status()).problems, [said]);
  for (const name of ['spare', 'peer']) node.run(`ip link set ${name} up`);
  await node.until('it is taken', () => addressesOn(node, 'spare').includes('10.77.0.101'));
  deepEqual((await node.status()).problems, []);
});

test('a VIP follows its prefix to another interface', { skip }, async () => {
  await using node = await Node.start({ services: [other] });
  node.run('ip address add 10.77.0.2/24 dev pods');
  node.run('ip address del 10.77.0.1/24 dev lan');
  await node.until('the VIP is on pods', () => `${addressesOn(node, 'pods')}` === `${other.addresses}`);
  await node.until('no VIP is on lan', () => addressesOn(node, 'lan').length === 0);
  await node.settled([other]);
});

test('the agent names an address that the kernel refuses, and takes it once it can', { skip }, async () => {
  await using node = await Node.start({ services: [other], agentArgs: ['--interface', 'lan'] });
  const disable = (value: string): void =>
    node.node.run(() => writeFileSync('/proc/sys/net/ipv6/conf/lan/disable_ipv6', value));
  disable('1');
  await node.setServices([other, web]);
  match(await reasonOf(node, 'fd77::100'), /^KernelRefused EACCES/);
  deepEqual(addressesOn(node, 'lan'), ['10.77.0.100', '10.77.0.101']);
  disable('0');
  await node.until('it is taken', () => addressesOn(node, 'lan').includes('fd77::100'));
  await node.until('nothing is refused', async () => (await reasonOf(node, 'fd77::100')) === ' ');
});

test('the agent keeps removed rules and addresses until the placements have synced', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  await node.killAgent('SIGKILL');
  using controller = await FakeController.instead(node);
  const coming = controller.next();
  node.startAgent();
  const stream = await coming;
  stream.welcome();
  stream.say({ type: 'page', table: 'rules', buckets: Array.from({ length: 256 }, (_, n) => n), set: [] });
  stream.synced('rules', { count: 0, digest: hash('sha256', '0'.repeat(16 * 256)).slice(0, 16) });
  // The agent answers a gap with a resync, after it has handled all messages before it.
  stream.say({ type: 'delta', table: 'rules', from: 99, to: 100, set: [], remove: [] });
  await node.until('the agent has read all messages', () =>
    stream.heard.some(({ type }) => type === 'resync'),
  );
  deepEqual(addressesOn(node, 'lan'), web.addresses);
  match(rulesOf(node), /10\.77\.0\.100/);
  ok(stream.heard.every(({ type }) => type !== 'ack'));
  stream.synced('placements');
  await node.until('both are gone', () => addressesOn(node, 'lan').length === 0);
  await node.until('it is acknowledged', () => stream.heard.some(({ type }) => type === 'ack'));
  doesNotMatch(rulesOf(node), /10\.77\.0\.100/);
});
