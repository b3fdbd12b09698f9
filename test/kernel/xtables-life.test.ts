// An agent with xtables beside other writers of the same tables: it repairs damage, no change is lost, and a
// switch of firewalls loses no packet.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { lacks } from '../agent/life.ts';
import { type Namespace, runIn, spawnIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { holdLock } from './hold-lock.ts';
import { Node, type Service } from './node.ts';
import { skip } from './own-xtables.ts';
import { attach } from './tracer.ts';
import { bound } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const web: Service = { name: 'web', addresses: vips, ports: ['TCP 80', 'UDP 53'] };
const agentArgs = ['--firewall', 'xtables'];

function save(node: Node): string {
  return node.run('iptables-legacy-save') + node.run('ip6tables-legacy-save');
}

/** Damage by other programs. */
const strangers: Readonly<Record<string, readonly string[]>> = {
  'our jump gone': ['iptables-legacy -w -t raw -F PREROUTING'],
  'a rule in front of ours': ['ip6tables-legacy -w -t raw -I PREROUTING -s fd99::1 -j ACCEPT'],
  'a rule of ours gone': [
    'iptables-legacy -w -t raw -D vipward-guard 3',
    'ip6tables-legacy -w -t mangle -F vipward-input',
  ],
  'everything gone': [
    'iptables-legacy -w -t raw -F',
    'iptables-legacy -w -t raw -X',
    'iptables-legacy -w -t mangle -F',
  ],
  'an element more and one less': [
    'ipset add vipward-allow4 10.77.0.100,tcp:22',
    'ipset del vipward-vip6 fd77::100',
  ],
  'a set emptied': ['ipset flush vipward-vip4'],
};

test('the agent repairs damage to its rules and sets, and foreign rules stay', { skip }, async () => {
  await using node = await Node.start({ services: [web], agentArgs });
  const [rules, sets] = [save(node), node.run('ipset save')];
  for (const [name, lines] of Object.entries(strangers)) {
    for (const line of lines) node.run(line);
    await node.until(`repaired: ${name}`, () => {
      const theirs = save(node).replaceAll(/^.*fd99::1.*\n/gm, '');
      return sorted(theirs) === sorted(rules) && sorted(node.run('ipset save')) === sorted(sets);
    });
  }
  assert.match(save(node), /vipward-guard\n-A PREROUTING -s fd99::1\/128 -j ACCEPT/);
  const { vips: held, problems, firewall } = await node.status();
  assert.deepEqual(
    [firewall, problems, held.map(({ state }) => state)],
    ['xtables', [], ['serving', 'serving']],
  );
});

test('a switch of firewalls loses no packet of a declared port and opens no other', { skip }, async () => {
  await using node = await Node.start({ services: [web] });
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  const probers = await Promise.all(
    vips.flatMap((vip) => [prober(node.client, vip, 53), prober(node.client, vip, 54)]),
  );
  const nft = (): boolean => /table inet vipward/.test(node.run('nft list tables'));
  const legacy = (): boolean => /vipward/.test(save(node) + node.run('ipset save'));
  for (const firewall of ['xtables', 'nftables', 'xtables', 'nftables']) {
    await node.killAgent('SIGTERM');
    node.startAgent(['--firewall', firewall]);
    await node.until(`only ${firewall} is left`, async () => {
      const status = await node.status();
      return status.inSync && status.firewall === firewall && nft() !== legacy();
    });
    assert.equal(nft(), firewall === 'nftables');
  }
  for (const { port, end } of probers) {
    const { sent, answered } = await end();
    assert.ok(sent > 100, `only ${sent} datagrams`);
    assert.equal(answered, port === 53 ? sent : 0, `port ${port}`);
  }
});

test('the agent and iptables write the same tables at once, and no change is lost', { skip }, async () => {
  await using node = await Node.start({ services: [web], agentArgs });
  const changes = 250;
  const script = `for i in $(seq ${changes}); do
    iptables-legacy -w -t mangle -A FORWARD -s 192.0.2.$i -j ACCEPT || exit 1
    ip6tables-legacy -w -t raw -A OUTPUT -d fd99::$i -j ACCEPT || exit 1
  done`;
  const other = spawnIn(node.node, ['sh', '-c', script], { stdio: 'ignore' });
  const done = once(other, 'exit');
  // Egress comes and goes by the rules of all four tables.
  let ours = 0;
  while (other.exitCode === null || ours < 6) {
    await node.setServices([{ ...web, annotations: { egress: String(ours++ % 2 === 0) } }]);
  }
  assert.deepEqual(await done, [0, null]);
  if (ours % 2 === 1) await node.setServices([web]);
  process.stdout.write(`${changes * 2} changes of another beside ${ours} of ours\n`);
  assert.equal(save(node).match(/-s 192\.0\.2\.\d+\/32 -j ACCEPT/g)?.length, changes);
  assert.equal(save(node).match(/-d fd99::\d+\/128 -j ACCEPT/g)?.length, changes);
  assert.doesNotMatch(save(node), /vipward-egress/);
});

test('while another process holds the lock elements change at once, and rules wait', { skip }, async () => {
  await using node = await Node.start({ services: [web], agentArgs });
  await using lock = await holdLock(node, '/run/xtables.lock');
  await node.listen(node.node, 'tcp', 81);
  await node.setServices([{ ...web, ports: ['TCP 81'] }]);
  for (const vip of vips) assert.equal(await node.probe('tcp', vip, 81), 'open');
  node.writeServices([{ ...web, annotations: { egress: 'true' } }]);
  await sleep(300);
  assert.equal((await node.status()).firewall, 'xtables');
  assert.doesNotMatch(save(node), /vipward-egress/);
  await lock[Symbol.asyncDispose]();
  await node.until('egress is in the rules', () => /-j vipward-egress/.test(save(node)));
});

test('a system call that fails is named with its error, and the rules stay until it succeeds', {
  skip: skip || lacks('strace'),
}, async () => {
  await using node = await Node.start({ services: [web], agentArgs });
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  for (const [index, error] of ['EAGAIN', 'ENOENT', 'ENOPROTOOPT', 'EPERM'].entries()) {
    const rules = sorted(save(node));
    const services = [{ ...web, annotations: { egress: String(index % 2 === 0) } }];
    {
      const failing = ['-e', 'trace=setsockopt', '-e', `inject=setsockopt:error=${error}`];
      await using _ = await attach(node, node.agentPid, failing);
      node.writeServices(services);
      const named = new RegExp(`${error}: .*\\btable (raw|mangle)`);
      await node.until('the error is named', async () => named.test(JSON.stringify(await node.status())));
      const probes = vips.flatMap((vip) => [node.probe('udp', vip, 53), node.probe('udp', vip, 54)]);
      assert.deepEqual(await Promise.all(probes), ['open', 'closed', 'open', 'closed'], error);
      assert.equal(sorted(save(node)), rules, error);
    }
    await node.settled(services);
    assert.notEqual(sorted(save(node)), rules, error);
  }
});

test('cleanup removes all that is ours and keeps foreign rules', { skip }, async () => {
  await using node = await Node.start({ services: [web], agentArgs });
  node.run('iptables-legacy -w -t raw -A PREROUTING -s 192.0.2.1 -j DROP');
  await node.killAgent('SIGKILL');
  const { status, stdout } = runIn(node.node, [
    ...[process.execPath, program, 'cleanup', '--state', join(node.folder, 'agent')],
  ] as [string, ...string[]]);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /removed chains and sets vipward-\*/);
  assert.doesNotMatch(save(node), /vipward/);
  assert.match(save(node), /-A PREROUTING -s 192\.0\.2\.1\/32 -j DROP/);
  assert.equal(node.run('ipset save'), '');
  assert.doesNotMatch(node.run('ip address'), /10\.77\.0\.100|fd77::100/);
});

function sorted(text: string): string {
  return text
    .replaceAll(/^#.*$|\[\d+:\d+\]| packets \d+ bytes \d+/gm, '')
    .split('\n')
    .sort()
    .join('\n');
}

/** Sends about a datagram a millisecond until its end, and counts the answers. */
async function prober(from: Namespace, to: string, port: number) {
  const socket = await bound(from, to.includes(':') ? '::' : '0.0.0.0', 0);
  let [sent, answered] = [0, 0];
  socket.on('message', () => answered++);
  const timer = setInterval(() => {
    sent++;
    socket.send('probe', port, to);
  }, 1).unref();
  socket.unref();
  return {
    port,
    async end(): Promise<{ sent: number; answered: number }> {
      clearInterval(timer);
      for (let waits = 0; answered < sent && waits < 40; waits++) await sleep(25);
      socket.close();
      return { sent, answered };
    },
  };
}
