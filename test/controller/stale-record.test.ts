// A record names the owner of a VIP when it was written. The node that really has it claims it when it
// connects, and no node is given a VIP that another one serves.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Owner, writeRecords } from '../../src/controller/records/records.ts';
import type { Address } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { folder, runningController, service, untilStatus } from './fixture.ts';
import { hello, joined, ruling, servicesOf, term, vip } from './ruling.ts';
import { agentOf } from './test-agent.ts';

const limit = { timeout: 20_000 };
/** The term under which `c` has the VIP, which was moved to it without a record. */
const later = { generation: term.generation, n: 9 };
const claim = [{ address: vip, term: later }];

/** A controller that rules, with a record that `a` has the VIP. */
function begun() {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const owner = () => one.controller.owners.ownerOf(vip);
  return { ...one, owner, settle: () => one.controller.owners.settle() };
}

test('a recorded owner that connects without its VIP is not given it while other nodes may claim it', () => {
  const one = begun();
  const a = joined(one, hello('a'));
  equal(a.node.placements.get(vip), undefined);
  const c = joined(one, hello('c', claim));
  deepEqual([one.owner(), c.node.placements.get(vip)], [{ node: 'c', term: later }, claim[0]]);
  one.settle();
  equal(a.node.placements.get(vip), undefined);
});

test('a VIP that no node claims in time goes to its recorded owner under the same term', () => {
  const one = begun();
  const { node } = joined(one, hello('a'));
  equal(one.controller.owners.claims.areComplete, false);
  one.settle();
  deepEqual(node.placements.get(vip), { address: vip, term });
});

test('a VIP that a node has by an old record alone goes to a late node that claims a later term', () => {
  const one = begun();
  const a = joined(one, hello('a'));
  one.settle();
  one.sessions.message(a, { type: 'heldDelta', set: [{ address: vip, term }], remove: [] });
  const c = joined(one, hello('c', claim));
  deepEqual([one.owner(), c.node.placements.get(vip)], [{ node: 'c', term: later }, claim[0]]);
  equal(a.node.placements.get(vip), undefined);
});

test('of two nodes that claim a VIP before placement begins, the one with the later term gets it', () => {
  const one = begun();
  const a = joined(one, hello('a', [{ address: vip, term }]));
  deepEqual(a.node.placements.get(vip), { address: vip, term });
  joined(one, hello('c', claim));
  deepEqual([one.owner()?.node, a.node.placements.get(vip)], ['c', undefined]);
});

test('after placement has begun, a claimed VIP is not taken from a connected node', () => {
  const one = begun();
  joined(one, hello('a', [{ address: vip, term }]));
  one.settle();
  joined(one, hello('liar', claim));
  equal(one.owner()?.node, 'a');
});

/** A state folder with records that `a` has the VIPs of `web-0` and so on, under `term`. */
async function recorded(t: TestContext, count: number): Promise<string> {
  const stateDir = folder(t);
  const vips = Array.from({ length: count }, (_, index) => `10.77.0.${100 + index}` as Address);
  await writeRecords(stateDir, {
    cluster: 'c',
    generation: term.generation,
    former: new Map(),
    unheld: new Set(),
    drained: [],
    allocations: new Map(vips.map((address, index) => [`demo/web-${index}` as ServiceKey, [address]])),
    owners: new Map<Address, Owner>(vips.map((address) => [address, { node: 'a', term }])),
  });
  return stateDir;
}

test('claims before the first reading are compared before a placement is sent', limit, async (t) => {
  const stateDir = await recorded(t, 20);
  const manifests = Array.from({ length: 20 }, (_, index) => service(`web-${index}`));
  const running = await runningController(t, { stateDir, files: { 'a.yaml': manifests[0] ?? '' } });
  const held = (name: string, at: typeof term) => {
    const said = { held: [{ address: vip, term: at }] };
    return agentOf(t, running, name, { hello: said });
  };
  const a = held('a', term);
  await a.until(({ heard }) => heard.some(({ type }) => type === 'welcome'));
  const c = held('c', later);
  await c.until(({ heard }) => heard.some(({ type }) => type === 'welcome'));
  equal(running.controller.isPublished, false);
  running.write('a.yaml', ...manifests);
  await c.until(({ placements }) => placements.has(vip));
  await a.until(({ placements }) => placements.size > 0);
  ok(
    a.heard.every(
      (message) =>
        !('set' in message) ||
        message.set.every(({ address }) => address !== vip) ||
        message.table === 'rules',
    ),
  );
});

test('a node that has not claimed a VIP keeps its placement until placement begins', limit, async (t) => {
  const stateDir = await recorded(t, 1);
  const timing = { settleMs: 1, claimMs: 60_000 };
  const running = await runningController(t, { stateDir, files: { 'a.yaml': service('web-0') }, timing });
  const a = agentOf(t, running, 'a', { hello: { held: [] } });
  a.placements.set(vip, { address: vip, term });
  await untilStatus(running, ({ nodes }) => nodes.some(({ seq }) => seq !== null));
  equal(a.seq.placements, null);
  running.controller.owners.settle();
  await a.synced();
  ok(a.heard.every((message) => message.type !== 'page' || message.table === 'rules'));
});

test('VIPs are placed as soon as all recorded VIPs are claimed, and not before', limit, async (t) => {
  const stateDir = await recorded(t, 1);
  const files = { 'a.yaml': service('web-0'), 'b.yaml': service('web-1') };
  const timing = { settleMs: 1, claimMs: 60_000 };
  const running = await runningController(t, { stateDir, files, timing });
  const [fresh] = running.controller.allocator.addressesOf('demo/web-1' as ServiceKey);
  const b = agentOf(t, running, 'b');
  await b.synced();
  await untilStatus(running, ({ nodes }) => nodes.some(({ name, seq }) => name === 'b' && seq !== null));
  equal(running.controller.owners.isSettled, false);
  const a = agentOf(t, running, 'a', { hello: { held: [{ address: vip, term }] } });
  await a.until(({ placements }) => placements.has(vip));
  await b.until(({ placements }) => placements.has(fresh as Address));
});
