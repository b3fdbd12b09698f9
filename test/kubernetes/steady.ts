// What must hold under every fault of the API server: no datagram is lost, no VIP moves, and afterwards the
// cluster and the node agree.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { EchoTraffic } from './echo-traffic.ts';
import type { NodeInCluster } from './node-in-cluster.ts';

interface ServiceObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly ports: readonly { readonly protocol: string; readonly port: number }[] };
  readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } };
}

/** The VIPs of a node with the terms by which it has them. */
async function terms(all: NodeInCluster): Promise<ReadonlyMap<string, string>> {
  const { vips } = await all.node.status();
  return new Map(vips.map(({ address, term }) => [address, JSON.stringify(term)]));
}

/** VIPs of Services that stay; those behind them come and go. */
const kept = ['10.77.0.100', '10.77.0.101', '10.77.0.102', '10.77.0.103', '10.77.0.104'];

/** Does something under traffic to the first of them, and returns how much was sent. */
export async function steady(all: NodeInCluster, body: () => Promise<void>): Promise<number> {
  const before = await terms(all);
  const target = { address: '10.77.0.100', port: 53, everyMs: 5 };
  using traffic = await EchoTraffic.start(all.node.client, target);
  await body();
  const { sent, lost } = await traffic.stop();
  assert.equal(lost, 0, `${lost} of ${sent} datagrams lost`);
  const after = await terms(all);
  for (const address of kept) assert.equal(after.get(address), before.get(address), `${address} has moved`);
  return sent;
}

/** Looks each second until a time of performance.now(): the node serves the same, by the same terms. */
export async function unmoved(all: NodeInCluster, endMs: number): Promise<void> {
  const look = async () => [await all.served(), await terms(all)];
  const before = await look();
  for (; performance.now() < endMs; await sleep(1000)) assert.deepEqual(await look(), before);
}

/** Milliseconds until they agree. */
export async function converges(all: NodeInCluster): Promise<string> {
  const startedMs = performance.now();
  await agree(all);
  return `${(performance.now() - startedMs).toFixed(0)} ms`;
}

/** Waits until Services, their status, their VirtualIPs and the node say the same. */
export async function agree(all: NodeInCluster): Promise<void> {
  await all.until('the cluster says what the node does', async () => {
    const selector = 'fieldSelector=spec.type%3DLoadBalancer';
    const { items } = await all.cluster.do('GET', `/api/v1/services?${selector}`);
    const wanted = (items as ServiceObject[]).map(({ metadata, spec, status }) => {
      const [ingress] = status.loadBalancer.ingress ?? [];
      const ports = spec.ports.map(({ protocol, port }) => `${protocol} ${port}`).join(', ');
      return `${ingress?.ip ?? metadata.name}: ${ports}`;
    });
    assert.deepEqual(await all.served(), wanted.sort());
    const { items: records } = await all.cluster.do('GET', '/apis/vipward.io/v1alpha1/virtualips');
    const states = (records as { spec: { address: string }; status?: { state: string } }[])
      .map(({ spec, status }) => `${spec.address} ${status?.state}`)
      .sort();
    assert.deepEqual(
      states,
      wanted.map((line) => `${line.split(': ')[0]} serving`),
    );
    return true;
  });
}
