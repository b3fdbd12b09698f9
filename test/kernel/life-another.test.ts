// An agent keeps what it does not know, a table with other flags or an open port, until both tables have
// synced, and acknowledges no rules before.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonicalJson } from '../../src/protocol/digest.ts';
import { parseAddress } from '../../src/state/address.ts';
import { parsePort } from '../../src/state/port.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { digestOf, FakeController, type Stream } from '../agent/fake-controller.ts';
import { ownerless } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const address = parseAddress('10.77.0.100');
const dns: Service = { name: 'dns', addresses: [address], ports: ['UDP 53', 'UDP 54'] };
const service = parseServiceKey('default/dns');
const declared: VirtualIp = {
  address,
  filtered: true,
  egress: false,
  ports: [{ protocol: 'UDP', port: parsePort(53), service, delivery: 'host', sources: null }],
};

/** Sends rules that no longer declare port 54. */
function sayRules(stream: Stream): void {
  const digest = hash('sha256', canonicalJson(declared)).slice(0, 16);
  const bucket = Number.parseInt(hash('sha256', address).slice(0, 2), 16);
  stream.say({ type: 'page', table: 'rules', buckets: [bucket], set: [declared] });
  stream.say({ type: 'synced', table: 'rules', seq: 7, count: 1, digest: digestOf({ [bucket]: digest }) });
}

async function untilKnown(node: Node): Promise<void> {
  await node.until('the agent has the rules', async () => {
    const { vips } = await node.status();
    return vips[0]?.ports.length === 1 && vips[0].state !== 'pending';
  });
}

test('the agent acknowledges rules only after it has replaced a table with other flags', {
  skip: skip || ownerless,
}, async () => {
  await using node = await Node.start({ services: [dns], agentArgs: ['--table-owner', 'off'] });
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  await node.killAgent('SIGTERM');
  using controller = await FakeController.instead(node);
  node.startAgent(['--table-owner', 'on']);
  const stream = await controller.next();
  stream.welcome();
  sayRules(stream);
  await untilKnown(node);
  assert.deepEqual(stream.acks, []);
  stream.synced('placements');
  await node.until('the rules are acknowledged', () => stream.acks.length > 0);
  assert.equal(await node.probe('udp', address, 54), 'closed');
  assert.equal(await node.probe('udp', address, 53), 'open');
});

test('the agent acknowledges rules only after it has closed an open port that its journal lacks', {
  skip: skip || hasTool('nft', '--version'),
}, async () => {
  await using node = await Node.start({ services: [dns], agentArgs: ['--table-owner', 'off'] });
  await node.killAgent('SIGTERM');
  rmSync(join(node.folder, 'agent'), { recursive: true });
  using controller = await FakeController.instead(node);
  node.startAgent();
  const stream = await controller.next();
  stream.welcome({ cluster: 'c', generation: 1 });
  sayRules(stream);
  await untilKnown(node);
  assert.deepEqual(stream.acks, []);
  assert.match(node.run('nft list set inet vipward allow4'), /udp \. 54/);
  stream.synced('placements');
  await node.until('the rules are acknowledged', () => stream.acks.length > 0);
  assert.doesNotMatch(node.run('nft list set inet vipward allow4'), /udp \. 54/);
});
