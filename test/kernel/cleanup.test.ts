// `vipward cleanup` on a node with VIPs on two of its interfaces.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { folder } from '../controller/fixture.ts';
import { Namespace, runIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { Node, type Service, skip } from './node.ts';
import { hasTool } from './own-kernel.ts';

const onLan: Service = { name: 'dns', addresses: ['10.77.0.100', 'fd77::100'], ports: ['UDP 53'] };
const onPods: Service = { name: 'web', addresses: ['10.88.0.100'], ports: ['TCP 80'] };

test('cleanup --interface removes the VIPs of one interface and keeps the filter for the others', {
  skip: skip || hasTool('nft', '--version'),
}, async () => {
  await using node = await Node.start({
    services: [onLan, onPods],
    agentArgs: ['--allow', '10.88.0.0/24'],
    controllerArgs: ['--pool', 'pods=10.88.0.100-10.88.0.110'],
  });
  const state = join(node.folder, 'agent');
  const command = [process.execPath, program, 'cleanup', '--state', state] as const;
  const cleanup = (...words: readonly string[]) => runIn(node.node, [...command, ...words]);
  const vips = (link: string): number =>
    node.run(`ip -o address show dev ${link}`).match(/ (10\.\d+\.0\.100|fd77::100)\//g)?.length ?? 0;
  const busy = cleanup();
  assert.equal(busy.status, 1);
  assert.match(busy.stderr, new RegExp(`^vipward cleanup: an agent runs here \\(pid ${node.agentPid}\\)`));
  await node.killAgent('SIGTERM');
  for (const [where, unknown] of [
    ['--interface', cleanup('--interface', 'lam,lan')],
    ['--interface', cleanup('--interface', 'lam', '--interface', 'lan')],
    ['VIPWARD_INTERFACE', runIn(node.node, ['env', 'VIPWARD_INTERFACE=lam', ...command])],
  ] as const) {
    assert.equal(unknown.status, 1);
    const said = `^vipward cleanup: ${where}: no lam here; name some of .*lan`;
    assert.match(unknown.stderr, new RegExp(said));
  }
  const none = cleanup('--interface', ' ,');
  assert.equal(none.status, 2);
  assert.equal(none.stderr, 'vipward cleanup: --interface: expected names of interfaces, got nothing\n');
  assert.deepEqual([vips('lan'), vips('pods')], [2, 1]);
  const some = cleanup('--interface', 'lan');
  assert.equal(some.status, 0, some.stderr);
  assert.match(some.stdout, /^removed address 10\.77\.0\.100$/m);
  assert.match(some.stdout, /^kept table inet vipward: there are VIPs on pods$/m);
  assert.deepEqual([vips('lan'), vips('pods')], [0, 1]);
  assert.match(node.run('nft list table inet vipward'), /10\.88\.0\.100/);
  assert.ok(existsSync(join(state, 'agent.jsonl')));
  const rest = cleanup('--interface', 'pods');
  assert.equal(rest.status, 0, rest.stderr);
  assert.deepEqual([vips('lan'), vips('pods')], [0, 0]);
  assert.equal(node.run('nft list tables'), '');
  assert.match(rest.stdout, new RegExp(`^removed ${RegExp.escape(join(state, 'agent.jsonl'))}$`, 'm'));
  assert.ok(!existsSync(join(state, 'agent.jsonl')));
  assert.equal(cleanup().stdout, 'found nothing of vipward\n');
});

test('cleanup names a state file that it cannot remove, and exits with 1', { skip }, (t) => {
  using namespace = Namespace.make();
  const state = join(folder(t), 'agent');
  mkdirSync(join(state, 'agent.jsonl'), { recursive: true });
  const { status, stderr } = runIn(namespace, [process.execPath, program, 'cleanup', '--state', state]);
  assert.equal(status, 1);
  const path = RegExp.escape(join(state, 'agent.jsonl'));
  assert.match(stderr, new RegExp(`^vipward cleanup: could not remove ${path}: .*; remove it by hand`));
});

test('cleanup that finds a filter and no last state says where it looked for that', {
  skip: skip || hasTool('nft', '--version'),
}, (t) => {
  using namespace = Namespace.make();
  runIn(namespace, ['nft', 'add table inet vipward']);
  const state = folder(t);
  const { status, stdout } = runIn(namespace, [process.execPath, program, 'cleanup', '--state', state]);
  assert.equal(status, 0);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'removed table inet vipward',
    `found no last state in ${state}: if the agent had another --state, run this again with that one`,
  ]);
});
