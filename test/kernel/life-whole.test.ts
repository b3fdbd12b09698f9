// The life of one node from its first VIP to its clean-up, each step on what the one before left. Other files
// test the steps in detail; this one is short enough for an emulated machine too.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { harms, isXtables, rulesOf, wordsOf } from './firewall.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { echoes, type Probe } from './traffic.ts';

const vips = ['10.77.0.100', 'fd77::100'];
const shell = '10.77.0.101';
const web: Service = { name: 'web', addresses: vips, ports: ['TCP 80', 'UDP 53'] };
const wider: Service = { ...web, ports: [...web.ports, 'TCP 81'] };
const ssh: Service = {
  name: 'ssh',
  addresses: [shell],
  ports: ['TCP 22'],
  annotations: { delivery: 'forward' },
};
const chain = 'ip kube pre { type nat hook prerouting priority dstnat; }';
/** What kube-proxy would write: a NodePort on every local address, and the Service's own port. */
const [nodePort, ownPort] = isXtables
  ? [
      'iptables-legacy -w -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 30080',
      `iptables-legacy -w -t nat -A PREROUTING -d ${shell} -p tcp --dport 22`,
    ].map((words) => `${words} -j DNAT --to-destination 10.88.0.2:8080`)
  : [
      `nft add table ip kube; add chain ${chain}; add rule ip kube pre fib daddr type local tcp dport 30080`,
      `nft add rule ip kube pre ip daddr ${shell} tcp dport 22`,
    ].map((words) => `${words} dnat to 10.88.0.2:8080`);
/** All that is in the tables of NAT, and of nftables at large. */
const strangers = isXtables ? 'iptables-legacy-save -t nat' : 'nft --stateless list ruleset';

test('a node from its first VIP to its clean-up', {
  skip: skip || hasTool('nft', '--version'),
}, async (t) => {
  await using node = await Node.start({ services: [web, ssh] });
  for (const port of [22, 80, 81]) await node.listen(node.node, 'tcp', port);
  for (const port of [53, 54]) await node.listen(node.node, 'udp', port);
  await node.listen(node.backend, 'tcp', 8080);

  const onlyDeclared = (): Promise<void> => onlyDeclaredAnswer(node);
  const isThere = (address: string): boolean => node.run('ip -o address').includes(` ${address}/`);

  await t.test('only declared ports answer', onlyDeclared);

  await t.test('a NodePort is closed at a VIP, and a forwarded port reaches only the backend', async () => {
    assert.equal(await node.probe('tcp', shell, 22), 'closed');
    node.run(nodePort ?? '');
    assert.equal(await node.probe('tcp', '10.77.0.1', 30080), 'open');
    assert.equal(await node.probe('tcp', shell, 30080), 'closed');
    node.run(ownPort ?? '');
    assert.equal(await node.probe('tcp', shell, 22), 'open');
  });

  await t.test('closing a port cuts its connections, and those of another port go on', async () => {
    await node.setServices([wider, ssh]);
    const [kept, cut] = [await node.connect('10.77.0.100', 80), await node.connect('10.77.0.100', 81)];
    assert.ok((await echoes(kept, 'a')) && (await echoes(cut, 'a')));
    await node.setServices([web, ssh]);
    assert.ok(!(await echoes(cut, 'b')), 'the port is closed');
    assert.ok(await echoes(kept, 'b'));
  });

  await t.test('the agent restores what another program removes', async () => {
    const words = `${wordsOf(node)}`;
    // A kernel with table owners refuses this, and nothing is missing.
    runIn(node.node, (harms[1] ?? '').split(' ') as [string]);
    node.run(`ip address del ${shell}/32 dev lan`);
    await node.until('the address is back', () => isThere(shell));
    await node.until('the filter is back', () => `${wordsOf(node)}` === words);
    await onlyDeclared();
  });

  await t.test('kill -9 changes nothing, and a VIP removed meanwhile goes after the next sync', async () => {
    await node.killAgent('SIGKILL');
    await onlyDeclared();
    node.writeServices([web]);
    node.startAgent();
    await node.settled([web]);
    await node.until('the address is gone', () => !isThere(shell));
    await onlyDeclared();
  });

  await t.test('cleanup removes all that is ours and nothing foreign', async () => {
    await node.killAgent('SIGTERM');
    await onlyDeclared();
    const state = join(node.folder, 'agent');
    const { status, stderr } = runIn(node.node, [process.execPath, program, 'cleanup', '--state', state]);
    assert.equal(status, 0, stderr);
    assert.match(node.run(strangers), /30080/);
    assert.doesNotMatch(node.run(strangers), /inet vipward/);
    if (isXtables) assert.equal(rulesOf(node), '');
    assert.deepEqual([...vips, shell, '10.77.0.1'].filter(isThere), ['10.77.0.1']);
  });
});

async function onlyDeclaredAnswer(node: Node): Promise<void> {
  const meets = async (protocol: 'tcp' | 'udp', vip: string, port: number, expected: Probe): Promise<void> =>
    assert.equal(await node.probe(protocol, vip, port), expected, `${vip} ${protocol} ${port}`);
  const probes = vips.flatMap((vip) => [
    ...[meets('tcp', vip, 80, 'open'), meets('udp', vip, 53, 'open'), meets('udp', vip, 54, 'closed')],
    ...[22, 81].map((port) => meets('tcp', vip, port, 'closed')),
  ]);
  await Promise.all(probes);
}
