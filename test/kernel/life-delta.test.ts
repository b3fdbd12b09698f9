// An agent writes only what has changed, in an order that keeps every port as declared; idle it writes
// nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from '../../src/dialects/dialect.ts';
import { tracer as nftablesTracer } from '../../src/dialects/nftables/trace.ts';
import { tracer as xtablesTracer } from '../../src/dialects/xtables/trace.ts';
import { parseAddress } from '../../src/state/address.ts';
import { FakeController } from '../agent/fake-controller.ts';
import { commitsOf, lacks, prober, type Sockets, socketsOf, uncounted } from '../agent/life.ts';
import { rule, Telling } from '../agent/pulse.ts';
import { end, spawnIn } from '../namespaces.ts';
import { until } from '../patience.ts';
import { isXtables, takeAll } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { attach, orderOf, tracing, writing } from './tracer.ts';

const first: Service = { name: 'first', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };
const second: Service = { name: 'second', addresses: ['10.77.0.101'], ports: ['TCP 80'] };
/** The errors of nf_tables and of ipset for a full set. */
const fullSet = /ENFILE|IPSET_ERR_HASH_FULL/;
const changes = 1000;
/** How long idle means idle; `VIPWARD_IDLE_S=60` makes it a minute. */
const idleMs = Number(process.env['VIPWARD_IDLE_S'] ?? 10) * 1000;

const added: Packet = { address: parseAddress('10.77.0.100'), protocol: 17, port: 54, from: null };
const tracer = isXtables ? xtablesTracer : nftablesTracer;

/** Waits until the kernel has, or no longer has, the added port. */
async function isOpen({ kernel }: Sockets, wanted: boolean): Promise<void> {
  await until(`port 54 is ${wanted ? 'open' : 'shut'}`, async () => {
    const { open } = tracer.read(await kernel.ask(tracer.question(added)), added, false);
    return (open !== null) === wanted;
  });
}

test('a port change is one delta: no datagram to another port is lost, and no address is added again', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [first] });
  using sockets = socketsOf(node);
  await node.listen(node.node, 'udp', 53);
  await node.until('an answer', async () => (await node.probe('udp', '10.77.0.100', 53)) === 'open');
  const before = await sockets.made();
  const generation = await sockets.generation();
  const probers = [await prober(node, '10.77.0.100', 53), await prober(node, 'fd77::100', 53)];
  for (let n = 1; n <= changes; n++) {
    node.writeServices([n % 2 === 1 ? { ...first, ports: ['UDP 53', 'UDP 54'] } : first]);
    await isOpen(sockets, n % 2 === 1);
  }
  for (const { sent } of probers) assert.ok(sent > changes, `only ${sent} datagrams were sent`);
  for (const one of probers) assert.equal(await one.lost(), 0);
  if (!isXtables) assert.equal((await sockets.generation()) - generation, changes);
  assert.deepEqual(await sockets.made(), before);
});

test('the agent holds no VIP whose rules the kernel refuses, names its Service, and serves the others', {
  skip,
}, async () => {
  await using node = await Node.start({ services: [first], agentArgs: ['--set-size', '1'] });
  await node.listen(node.node, 'tcp', 80);
  await node.listen(node.node, 'udp', 53);
  await node.setServices([first, second]);
  const { vips } = await node.status();
  const refused = vips.find(({ address }) => address === '10.77.0.101');
  assert.deepEqual(
    [refused?.state, refused?.reason, refused?.held, refused?.services],
    ['refused', 'KernelRefused', false, ['default/second']],
  );
  assert.match(refused?.message ?? '', fullSet);
  const theirs = (await node.controllerStatus()).vips.find(({ address }) => address === '10.77.0.101');
  assert.deepEqual(
    theirs?.services.map(({ key, state }) => [key, state]),
    [['default/second', 'refused']],
  );
  assert.match(theirs?.services[0]?.message ?? '', fullSet);
  assert.doesNotMatch(node.run('ip address'), /10\.77\.0\.101/);
  assert.equal(await node.probe('tcp', '10.77.0.101', 80), 'closed');
  assert.equal(await node.probe('udp', '10.77.0.100', 53), 'open');
  // A refused Service is tried again when it changes.
  await node.setServices([second]);
  await node.setServices([{ ...second, ports: ['TCP 81'] }]);
  await node.listen(node.node, 'tcp', 81);
  assert.equal(await node.probe('tcp', '10.77.0.101', 81), 'open');
});

test('an address comes after its filter and goes before it, whatever a controller says first', {
  skip: skip || lacks('strace'),
}, async () => {
  const agentArgs = ['--table-owner', 'off', '--first-claim', 'take'];
  await using node = await Node.start({ services: [second], agentArgs });
  const argv = readFileSync(`/proc/${node.agentPid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  {
    using controller = await FakeController.instead(node);
    const stream = await controller.next();
    stream.begin();
    await node.until('it is in sync', async () => (await node.status()).inSync);
    await using tracer = await attach(node, node.agentPid, writing);
    const [address, telling] = ['10.77.0.110', new Telling(stream)];
    telling.say('placements', { address, term: { generation: stream.hello.generation, n: 100 } });
    telling.say('rules', rule(address, 80));
    await node.until('the VIP is taken', () => telling.isAcknowledged);
    telling.remove('rules', address);
    telling.remove('placements', address);
    await node.until('the VIP is let go', () => telling.isAcknowledged);
    assert.deepEqual(orderOf(tracer.text()), ['filter', 'RTM_NEWADDR', 'RTM_DELADDR', 'filter']);
  }
  // At a start on an empty kernel too, from the disk alone.
  await node.killAgent('SIGTERM');
  node.run('ip address del 10.77.0.101/32 dev lan');
  takeAll(node);
  const trace = join(node.folder, 'start.trace');
  const agent = spawnIn(node.node, [...tracing(trace, ['-D', ...writing]), ...argv]);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => end(agent, 'SIGTERM'));
  await node.until('it is served', async () => (await node.status()).vips[0]?.state === 'serving');
  assert.deepEqual(orderOf(readFileSync(trace, 'utf8')), ['filter', 'RTM_NEWADDR']);
});

test('an idle agent commits nothing', { skip: skip || uncounted }, async () => {
  await using node = await Node.start({ services: [first, second] });
  using sockets = socketsOf(node);
  await using commits = await commitsOf(node, sockets);
  await sleep(idleMs);
  assert.equal(await commits.count(), 0);
  // Proves that commits are counted.
  await node.setServices([first]);
  assert.ok((await commits.count()) > 0);
});
