// A VIP fits in one frame: Services that would make it larger than an agent accepts are refused by name.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileVip } from '../../src/controller/compile.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import { Table } from '../../src/controller/stream/table.ts';
import { bytesOfPort, canonicalJson } from '../../src/protocol/digest.ts';
import { frameLimitBytes, vipLimitBytes } from '../../src/protocol/messages.ts';
import { type Address, formatAddress } from '../../src/state/address.ts';
import { anyVip } from '../dialects/arbitraries.ts';
import { untilTrue } from '../patience.ts';
import { agentOf } from '../protocol/agent-side.ts';
import { runningController, service, serviceObject } from './fixture.ts';

const x = '10.77.0.150' as Address;
const annotations = { 'vipward.io/addresses': x };
const [long, longer] = [`n${'a'.repeat(62)}`, `n${'b'.repeat(62)}`];
/** As many as one Service may have. */
const portsFrom = (first: number) => Array.from({ length: 20_000 }, (_, index) => first + index);

function compiled(...objects: readonly object[]) {
  const users = objects.flatMap((object) => readDocument(object).services);
  equal(users.length, objects.length);
  const { vip, refusedPorts } = compileVip(x, users, true);
  return { vip, refusedPorts, bytes: canonicalJson(vip).length };
}

test('of two Services too large for one VIP one is refused, and other changes arrive', {
  timeout: 120_000,
}, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const agent = agentOf(t, [running.url.replace('http', 'ws')]);
  const rules = () => agent.session.rules.resources;
  await untilTrue(() => rules().size === 1);
  for (const [name, first] of [
    [long, 1],
    [longer, 20_001],
  ] as const) {
    const ports = portsFrom(first);
    running.write(`${name}.json`, service(name, { namespace: long, annotations, ports }));
  }
  await untilTrue(() => running.controller.allocator.usersOf(x).length === 2);
  running.write('c.yaml', service('other', { ports: [81] }));
  await untilTrue(() => rules().size === 3);
  await untilTrue(() => rules().get(x)?.ports.length === running.controller.rules.get(x)?.ports.length);
  equal(running.controller.closedConnections.lastOf('n1'), null);
  const services = running.status().vips.find(({ address }) => address === x)?.services ?? [];
  const refused = services.find(({ key }) => key === `${long}/${longer}`);
  equal(refused?.reason, 'NotSupported');
  match(refused?.message ?? '', /^10\.77\.0\.150 has over 3145728 bytes of ports, .*: declare fewer, or use/);
});

test('a small Service after one that is too large for the VIP still gets its port', () => {
  const large = (name: string, first: number) =>
    serviceObject(name, { namespace: long, ports: portsFrom(first).slice(0, 12_000) });
  const { vip, refusedPorts, bytes } = compiled(
    large(long, 1),
    large(longer, 20_001),
    serviceObject('s', { ports: [65_000], namespace: 'd' }),
  );
  ok(bytes <= vipLimitBytes && bytes > vipLimitBytes - 300, `${bytes}`);
  deepEqual([...new Set(refusedPorts.map(({ service: of }) => of))], [`${long}/${longer}`]);
  equal(vip.ports.at(-1)?.service, 'd/s');
  equal(vip.ports.length + refusedPorts.length, 24_001);
  const [change] = new Table('rules').put({ set: [vip], remove: [] });
  ok(change !== undefined && change.frame.length < frameLimitBytes);
});

test('a Service with the longest names and ranges loses the ports beyond the size of a VIP', () => {
  const loadBalancerSourceRanges = Array.from({ length: 4 }, (_, index) => {
    return `${formatAddress(Uint8Array.of(...Array(15).fill(0xfd), index))}/128`;
  });
  const namespace = ['n'.repeat(63), 'n'.repeat(63), 'n'.repeat(63), 'n'.repeat(61)].join('.');
  const ports = portsFrom(1).slice(0, 5000);
  const { refusedPorts, bytes } = compiled(
    serviceObject(namespace, { namespace, ports, spec: { loadBalancerSourceRanges } }),
  );
  ok(refusedPorts.length > 0 && bytes <= vipLimitBytes);
});

test('the computed size of a VIP is never less than its JSON', () => {
  fc.assert(
    fc.property(anyVip(), (vip) => {
      const bytes = vip.ports.reduce((sum, port) => sum + bytesOfPort(port), 0);
      const text = canonicalJson(vip).length - canonicalJson({ ...vip, ports: [] }).length;
      ok(text <= bytes && bytes <= text + 1 + vip.ports.length, `${text} ${bytes}`);
    }),
  );
});
