// Planned moves between two nodes of a real cluster on one link, under steady traffic: the client learns
// where the VIP is by its announcement alone, and nothing is lost.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { skip as noNode } from '../kernel/node.ts';
import { type Namespace, spawnIn } from '../namespaces.ts';
import { program } from '../program.ts';
import { skip as noCluster } from './control-plane.ts';
import { NodeInCluster } from './node-in-cluster.ts';
import { SecondNode } from './second-node.ts';
import type { Failure, Fate } from './steady-client.ts';

const skip = noCluster || noNode;
const vips = ['10.77.0.100', 'fd77::100'];
const moves = 8;

let all: NodeInCluster;
let second: SecondNode;
const children: ChildProcess[] = [];

function start(where: Namespace, file: string, ...words: readonly string[]): ChildProcess {
  const path = file === program ? file : fileURLToPath(new URL(file, import.meta.url));
  const child = spawnIn(where, [process.execPath, path, ...words], { stdio: 'pipe' });
  children.push(child);
  return child;
}

before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start();
  second = await SecondNode.start(all);
  for (const where of [all.node.node, second.node]) {
    const echo = start(where, 'echo-server.ts', '80');
    await once(echo.stdout ?? echo, 'data');
  }
  const both = { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] };
  const annotations = { 'vipward.io/delivery': 'host' };
  await all.apply('echo', { ports: ['TCP 80', 'UDP 80'], spec: both, annotations });
  await all.until(`two nodes, and both VIPs served\n${second.words}`, async () => {
    const { nodes, vips: known } = await all.node.controllerStatus();
    return nodes.length === 2 && known.length === 2 && known.every(({ state }) => state === 'serving');
  });
});
after(async () => {
  if (skip !== false) return;
  for (const child of children) child.kill('SIGKILL');
  await second[Symbol.asyncDispose]();
  await all[Symbol.asyncDispose]();
});

/** Moves a VIP once both nodes have all rules: a node that is behind may be given none. */
async function move(vip: string, to: string): Promise<number> {
  await all.until('both nodes have all rules', async () => {
    const { nodes, seq } = await all.node.controllerStatus();
    return nodes.length === 2 && nodes.every((node) => node.connected && node.seq === seq);
  });
  const beganMs = performance.now();
  const verb = start(all.node.node, program, 'move', vip, to);
  const said = text(verb.stderr as NodeJS.ReadableStream);
  await once(verb, 'exit');
  assert.equal(verb.exitCode, 0, await said);
  return performance.now() - beganMs;
}

async function nodeOf(vip: string): Promise<string | null | undefined> {
  return (await all.node.controllerStatus()).vips.find(({ address }) => address === vip)?.node;
}

/** Datagrams lost in full socket buffers of delayed programs, on both nodes and the client. */
function overflowed(): number {
  const places = [all.node.node, second.node, all.node.client];
  const texts = places.flatMap((where) =>
    ['snmp', 'snmp6'].map((name) => where.run(() => readFileSync(`/proc/thread-self/net/${name}`, 'utf8'))),
  );
  return texts.reduce((sum, words) => sum + receiveErrors(words), 0);
}

/** RcvbufErrors of UDP: a table of two lines for IPv4, a line for IPv6. */
function receiveErrors(words: string): number {
  const [, six] = /^Udp6RcvbufErrors\s+(\d+)/m.exec(words) ?? [];
  const [names = [], counts = []] = [...words.matchAll(/^Udp: (.*)$/gm)].map(([, row = '']) =>
    row.split(' '),
  );
  return Number(six ?? counts[names.indexOf('RcvbufErrors')] ?? 0);
}

/** How many of these connections began between each move and the next. */
function perMove(failed: readonly Failure[], begunMs: readonly number[]): number[] {
  return begunMs.map((from, index) => {
    const to = begunMs[index + 1] ?? Number.POSITIVE_INFINITY;
    return failed.filter((failure) => failure.begunMs >= from && failure.begunMs < to).length;
  });
}

for (const vip of vips) {
  test(`${moves} moves of ${vip} between two nodes lose no datagram, and each at most one connection`, {
    skip,
  }, async (t) => {
    const before = overflowed();
    const client = start(all.node.client, 'steady-client.ts', '80', vip);
    const told = text(client.stdout as NodeJS.ReadableStream);
    await sleep(1000);
    const begunMs: number[] = [];
    const took: number[] = [];
    for (let count = 0; count < moves; count++) {
      begunMs.push(Date.now());
      took.push(await move(vip, (await nodeOf(vip)) === 'node1' ? 'node2' : 'node1'));
      // The old owner is about to announce once more, a second after its first time, when the new one does.
      await sleep(Math.max(700, 1000 - (took.at(-1) ?? 0)));
    }
    client.stdin?.end();
    const fate = (JSON.parse(await told) as Record<string, Fate>)[vip];
    assert.ok(fate !== undefined);
    const { datagrams, perSecond, lost, answeredBy, connections, failed, slowestMs } = fate;
    const by = JSON.stringify(answeredBy);
    const overflows = overflowed() - before;
    const what = `${lost.length} of ${datagrams} datagrams lost, ${overflows} of them in full buffers`;
    t.diagnostic(`${what}; ${perSecond} a second, answered by ${by}`);
    t.diagnostic(`${failed.length} of ${connections} connections lost, the slowest took ${slowestMs} ms`);
    t.diagnostic(`the verb took ${took.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    assert.equal(lost.length, overflows, what);
    assert.equal(Object.keys(answeredBy).length, 2, by);
    const reasons = JSON.stringify(failed);
    assert.ok(
      perMove(failed, begunMs).every((count) => count <= 1),
      reasons,
    );
    assert.ok(failed.length <= moves, reasons);
  });
}

test('the verb move sets spec.node of a VirtualIP, and a change of spec.node moves the VIP', {
  skip,
}, async () => {
  const [vip = ''] = vips;
  const wanted = async (): Promise<string | undefined> =>
    (await all.cluster.do('GET', `/apis/vipward.io/v1alpha1/virtualips/${vip}`)).spec.node;
  const here = (await nodeOf(vip)) ?? '';
  const there = here === 'node1' ? 'node2' : 'node1';
  await move(vip, there);
  await all.until('the record says so', async () => (await wanted()) === there);
  all.cluster.kubectl([
    'patch',
    'vip',
    vip,
    '--type',
    'merge',
    '-p',
    JSON.stringify({ spec: { node: here } }),
  ]);
  await all.until('the VIP has moved', async () => (await nodeOf(vip)) === here);
  all.cluster.kubectl(['patch', 'vip', vip, '--type', 'merge', '-p', '{"spec":{"node":"node9"}}']);
  await all.until('the Event says why not', () => {
    const said = all.cluster.kubectl(['get', 'events', '--field-selector', 'reason=NoEligibleNode']);
    return Promise.resolve(said.includes(`spec.node node9: not connected; it stays on ${here}`));
  });
  assert.equal(await nodeOf(vip), here);
});
