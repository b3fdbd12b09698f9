// A thousand Services through a real API server into the kernel of a real node; and how long one change
// takes, beside the time until a watch of the API server reports it.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type Agent, request } from 'node:https';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { skip as noNode } from '../kernel/node.ts';
import { hasTool } from '../kernel/own-kernel.ts';
import { spawnIn } from '../namespaces.ts';
import { skip as noCluster } from './control-plane.ts';
import { NodeInCluster } from './node-in-cluster.ts';

const skip = noCluster || noNode || hasTool('nft', '--version');
const count = 1000;
const services = '/api/v1/namespaces/default/services';
const mergePatch = { type: 'application/merge-patch+json' };

let all: NodeInCluster;
before(async () => {
  if (skip !== false) return;
  all = await NodeInCluster.start({ controllerArgs: ['--pool', 'many=fd77::1000-fd77::1fff'] });
});
after(async () => {
  if (skip === false) await all[Symbol.asyncDispose]();
});

const names = Array.from({ length: count }, (_, index) => `many-${index}`);

/** Does something with every Service, a few at a time. */
async function each(body: (name: string, index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await body(names[index] ?? '', index);
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

interface Listed {
  readonly metadata: { readonly name: string };
  readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } };
}

/** The addresses that the API has for the Services, by name. */
async function addresses(): Promise<Map<string, string>> {
  const { items } = await all.cluster.do('GET', services);
  return new Map(
    (items as Listed[])
      .filter(({ metadata }) => metadata.name.startsWith('many-'))
      .map(({ metadata, status }) => [metadata.name, status.loadBalancer.ingress?.[0]?.ip ?? 'none']),
  );
}

/** What the kernel of the node lets through to such addresses: `ADDRESS PORT`. */
function allowed(): Set<string> {
  const text = all.node.run('nft list set inet vipward allow6');
  return new Set([...text.matchAll(/(fd77::\w+) \. tcp \. (\d+)/g)].map(([, ip, port]) => `${ip} ${port}`));
}

/** Waits until kernel, status and records say that every Service has this port. */
async function settles(port: (index: number) => number): Promise<string> {
  const startedMs = performance.now();
  await all.until('kernel, status and records agree', async () => {
    const given = await addresses();
    assert.equal(new Set(given.values()).size, count);
    const kernel = allowed();
    assert.equal(kernel.size, count);
    for (const [index, name] of names.entries())
      assert.ok(kernel.has(`${given.get(name)} ${port(index)}`), `${name} ${given.get(name)}`);
    const { items } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips');
    const records = new Map<string, string>();
    for (const { spec, status } of items)
      records.set(spec.address, `${spec.services[0].name} ${status?.state}`);
    for (const name of names) assert.equal(records.get(given.get(name) ?? ''), `${name} serving`);
    return true;
  });
  return `${(performance.now() - startedMs).toFixed(0)} ms`;
}

/** The least and the most Events with this reason that any of the Services has. */
async function told(reason: string): Promise<readonly [number, number]> {
  const { items } = await all.cluster.do('GET', '/apis/events.k8s.io/v1/namespaces/default/events');
  const counts = new Map<string, number>(names.map((name) => [name, 0]));
  for (const { regarding, reason: found } of items) {
    if (found !== reason || !counts.has(regarding.name)) continue;
    counts.set(regarding.name, (counts.get(regarding.name) ?? 0) + 1);
  }
  return [Math.min(...counts.values()), Math.max(...counts.values())];
}

test('every port of 1,000 new Services is in the kernel, and each Service gets each Event once', {
  skip,
}, async (t) => {
  const startedMs = performance.now();
  await each((name) =>
    all.cluster.do('POST', services, {
      metadata: { name, annotations: { 'vipward.io/pool': 'many' } },
      spec: {
        type: 'LoadBalancer',
        ports: [{ name: 'p', port: 80 }],
        allocateLoadBalancerNodePorts: false,
        ipFamilies: ['IPv6'],
        ipFamilyPolicy: 'SingleStack',
      },
    }),
  );
  const madeMs = performance.now() - startedMs;
  t.diagnostic(`made within ${madeMs.toFixed(0)} ms, in force and said ${await settles(() => 80)} later`);
  for (const reason of ['Allocated', 'Announced']) {
    await all.until(`each Service has one ${reason}`, async () => {
      assert.deepEqual(await told(reason), [1, 1]);
      return true;
    });
  }
});

test('label changes of 1,000 Services send no frame to the agent', { skip }, async () => {
  const { seq } = await all.node.controllerStatus();
  const metadata = { labels: { changed: 'yes' } };
  await each((name) => all.cluster.do('PATCH', `${services}/${name}`, { metadata }, mergePatch));
  await all.apply('marker');
  await all.until('the marker is there', async () => (await all.served()).includes('10.77.0.100: TCP 80'));
  assert.equal((await all.node.controllerStatus()).seq, seq + 1);
  await all.remove('marker');
});

test('port changes of 1,000 Services reach the kernel', { skip }, async (t) => {
  const patch = (index: number) => ({ spec: { ports: [{ name: 'p', port: 1000 + index }] } });
  await each((name, index) => all.cluster.do('PATCH', `${services}/${name}`, patch(index), mergePatch));
  t.diagnostic(`in force ${await settles((index) => 1000 + index)} after the last`);
});

interface Line {
  readonly text: string;
  readonly atMs: number;
}

/** The lines of a program or a stream, each with when it came. */
function linesOf(input: NodeJS.ReadableStream): readonly Line[] {
  const lines: Line[] = [];
  createInterface({ input })
    .on('line', (text) => lines.push({ text, atMs: performance.now() }))
    .on('error', () => {});
  return lines;
}

/**
 * A watch of one Service: of a thousand the API server would end the watch before this process has read it.
 */
async function watchOf(agent: Agent, name: string): Promise<readonly Line[]> {
  const { hostname: host, port } = new URL(all.cluster.url);
  const headers = { authorization: `Bearer ${all.cluster.token('admin')}` };
  const path = `${services}?watch=true&fieldSelector=metadata.name=${name}`;
  const watch = request({ host, port, path, headers, agent }).on('error', () => {});
  watch.end();
  const [response] = await once(watch, 'response');
  const seen = linesOf(response);
  await all.until('the watch is open', async () => seen.length > 0);
  return seen;
}

test('each of 100 changes of a Service reaches the kernel, and the test prints the latency', {
  skip,
}, async (t) => {
  const monitor: ChildProcess = spawnIn(all.node.node, ['nft', 'monitor', 'elements'], { stdio: 'pipe' });
  t.after(() => monitor.kill());
  assert.ok(monitor.stdout !== null);
  const kernel = linesOf(monitor.stdout);
  const agent: Agent = all.cluster.newAgent();
  t.after(() => agent.destroy());
  const seen = await watchOf(agent, 'many-0');
  const change = (port: number) => {
    const patch = { spec: { ports: [{ name: 'p', port }] } };
    return all.cluster.do('PATCH', `${services}/many-0`, patch, mergePatch);
  };
  // The monitor says nothing of what came before it began to listen.
  let sign = 10_000;
  await all.until('the monitor says what is in the kernel', async () => {
    await change(sign++);
    return kernel.length > 0;
  });
  const took = { watch: [] as number[], kernel: [] as number[] };
  for (let round = 0; round < 100; round++) {
    const number = 20_000 + round;
    const startedMs = performance.now();
    await change(number);
    const at = (lines: readonly Line[], words: string) =>
      lines.find(({ text }) => text.includes(words))?.atMs;
    await all.until('it is in the kernel', async () => {
      return at(kernel, `. ${number}`) !== undefined && at(seen, `"port":${number}`) !== undefined;
    });
    took.kernel.push((at(kernel, `. ${number}`) ?? 0) - startedMs);
    took.watch.push((at(seen, `"port":${number}`) ?? 0) - startedMs);
  }
  for (const [what, list] of Object.entries(took)) {
    list.sort((a, b) => a - b);
    const [median = 0, worst = 0] = [list[50], list[98]];
    t.diagnostic(`PATCH to ${what}: median ${median.toFixed(1)} ms, p99 ${worst.toFixed(1)} ms of 100`);
  }
  assert.equal(allowed().size, count);
});

test('deleting 1,000 Services leaves no record, port or address', { skip }, async (t) => {
  const startedMs = performance.now();
  await each((name) => all.cluster.do('DELETE', `${services}/${name}`));
  await all.until('nothing is left', async () => {
    const { items } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips');
    return items.length === 0 && allowed().size === 0;
  });
  t.diagnostic(`gone ${(performance.now() - startedMs).toFixed(0)} ms after the first was deleted`);
  assert.doesNotMatch(all.node.run('ip address show'), /fd77::1[0-9a-f]{3}/);
});
