// The life of one node from its first VIP to its clean-up, each step on what the one before left: what the
// other files take apart, in one piece that an emulated machine has the time for too.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runIn } from '../namespaces.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';
import { echoes, type Probe } from './traffic.ts';

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const vips = ['10.77.0.100', 'fd77::100'];
const shell = '10.77.0.101';
const web: Service = { name: 'web', addresses: vips, ports: ['TCP 80', 'UDP 53'] };
const wider: Service = { ...web, ports: [...web.ports, 'TCP 81'] };
const ssh: Service = {
  ...{ name: 'ssh', addresses: [shell], ports: ['TCP 22'] },
  annotations: { delivery: 'forward' },
};
/** What kube-proxy would write: a NodePort on every local address, and the Service's own port. */
const nat = `table ip kube {
  chain pre { type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 30080 dnat to 10.88.0.2:8080
  }
}`;
const ownPort = `add rule ip kube pre ip daddr ${shell} tcp dport 22 dnat to 10.88.0.2:8080`;

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

  await t.test('a NodePort is shut, and a forwarded port is the backend or nobody', async () => {
    assert.equal(await node.probe('tcp', shell, 22), 'closed');
    node.run('nft -f -', { input: nat });
    assert.equal(await node.probe('tcp', '10.77.0.1', 30080), 'open');
    assert.equal(await node.probe('tcp', shell, 30080), 'closed');
    node.run('nft -f -', { input: ownPort });
    assert.equal(await node.probe('tcp', shell, 22), 'open');
  });

  await t.test('a port that is closed is cut, and its neighbour goes on', async () => {
    await node.setServices([wider, ssh]);
    const [kept, cut] = [await node.connect('10.77.0.100', 80), await node.connect('10.77.0.100', 81)];
    assert.ok((await echoes(kept, 'a')) && (await echoes(cut, 'a')));
    await node.setServices([web, ssh]);
    assert.ok(!(await echoes(cut, 'b')), 'the port is closed');
    assert.ok(await echoes(kept, 'b'));
  });

  await t.test('what others take away comes back', async () => {
    // Where the kernel lets a table have an owner this is refused, and nothing is missing.
    runIn(node.node, ['nft', 'delete', 'table', 'inet', 'vipward']);
    node.run(`ip address del ${shell}/32 dev lan`);
    await node.until('the address is back', () => isThere(shell));
    await node.until('the filter is back', () =>
      node.run('nft list ruleset').includes('10.77.0.100 . tcp . 80'),
    );
    await onlyDeclared();
  });

  await t.test('kill -9 changes nothing, and what went meanwhile goes after the next sync', async () => {
    await node.killAgent('SIGKILL');
    await onlyDeclared();
    node.writeServices([web]);
    node.startAgent();
    await node.settled([web]);
    await node.until('the address is gone', () => !isThere(shell));
    await onlyDeclared();
  });

  await t.test('cleanup leaves nothing of ours, and what is of others', async () => {
    await node.killAgent('SIGTERM');
    await onlyDeclared();
    const state = join(node.folder, 'agent');
    const { status, stderr } = runIn(node.node, [process.execPath, program, 'cleanup', '--state', state]);
    assert.equal(status, 0, stderr);
    assert.deepEqual(node.run('nft list tables').trim().split('\n'), ['table ip kube']);
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
