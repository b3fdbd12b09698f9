// Sysctls that keep the real kernel from answering for a VIP, and what the doctor says about them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Check, DoctorReport } from '../../src/cli/doctor/report.ts';
import { runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { Node, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { holdTimers } from './timers.ts';

const vip = '10.77.0.100';
const services = [{ name: 'web', addresses: [vip], ports: ['TCP 80'] }] as const;
const tools = { skip: skip || hasTool('ping', '-V') || hasTool('sysctl', '-V') };

function check(node: Node, name: string): Check {
  const { stdout, stderr } = runIn(node.node, [process.execPath, program, 'doctor', '-o', 'json']);
  assert.equal(stderr, '');
  const found = (JSON.parse(stdout) as DoctorReport).checks.find((one) => one.name === name);
  assert.ok(found, `no check ${name}`);
  return found;
}

/** Runs the next step that the doctor names, up to the comma; alternatives come after it. */
function follow(node: Node, { next }: Check): void {
  node.run(next.split(',')[0] ?? '');
}

/** True if a client that has flushed its neighbour table resolves the VIP. */
function isFound(node: Node): boolean {
  node.run('ip neigh flush dev lan0', { where: node.client });
  return runIn(node.client, ['ping', '-c', '1', '-W', '1', vip]).status === 0;
}

test('the doctor warns of arp_ignore values that hide a VIP, and its step repairs them', tools, async () => {
  await using node = await Node.start({ services, agentArgs: ['--interface', 'lan'] });
  // A client would learn of the VIP from its later announcements.
  using _ = holdTimers(node);
  for (const value of [1, 2, 3, 8]) {
    node.run(`sysctl -w net.ipv4.conf.lan.arp_ignore=${value}`);
    const said = check(node, 'arp_ignore');
    assert.deepEqual([value, said.result === 'ok'], [value, isFound(node)]);
    if (said.result !== 'ok') assert.match(said.found, new RegExp(`${value} on lan: `));
  }
  node.run('sysctl -w net.ipv4.conf.lan.arp_ignore=3');
  node.run('sysctl -w net.ipv4.conf.all.arp_ignore=3');
  follow(node, check(node, 'arp_ignore'));
  assert.deepEqual([check(node, 'arp_ignore').result, isFound(node)], ['ok', true]);
  node.run('sysctl -w net.ipv4.conf.all.arp_ignore=3');
  node.run('sysctl -w net.ipv4.conf.lan.route_localnet=1');
  const { result, found } = check(node, 'arp_ignore');
  assert.equal(isFound(node), true);
  assert.deepEqual(
    [result, /on lan/.test(found)],
    ['warn', false],
    'lan answers, the other interface does not',
  );
});

/** The number of packets that a strict rp_filter of the node has dropped. */
function thrownAway(node: Node): number {
  const text = node.node.run(() => readFileSync('/proc/thread-self/net/netstat', 'utf8'));
  const [names = [], values = []] = text
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('IPReversePathFilter')]);
}

test(
  'the doctor warns of a strict rp_filter that drops packets to a VIP, and its step repairs it',
  tools,
  async () => {
    await using node = await Node.start({ services, agentArgs: ['--interface', 'lan'] });
    node.run('ip address add 198.51.100.7/32 dev lo', { where: node.client });
    const isLost = (): boolean => {
      const before = thrownAway(node);
      runIn(node.client, ['ping', '-c', '1', '-W', '1', '-I', '198.51.100.7', vip]);
      return thrownAway(node) > before;
    };
    const isWarned = (): boolean => check(node, 'rp_filter').result === 'warn';
    node.run('ip route add default via 10.77.0.9');
    node.run('sysctl -w net.ipv4.conf.all.rp_filter=1');
    assert.deepEqual([isLost(), isWarned()], [false, false], 'the answer leaves by the interface of the VIP');
    node.run('ip route replace default via 10.88.0.2');
    assert.equal(isLost(), true);
    const said = check(node, 'rp_filter');
    assert.equal(said.result, 'warn');
    assert.match(said.found, /strict on lan, which has 10\.77\.0\.100, but its replies .* leave by pods/);
    follow(node, said);
    assert.deepEqual([isLost(), isWarned()], [false, false]);
  },
);
