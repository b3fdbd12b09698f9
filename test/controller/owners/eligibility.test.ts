// The nodes and endpoints of the cluster decide which nodes may have a VIP, whenever they change.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gatherMs } from '../../../src/controller/owners/eligibility.ts';
import { MoveReason } from '../../../src/controller/owners/moves.ts';
import { passedTicks } from '../../../src/controller/owners/refusals.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { Address } from '../../../src/state/address.ts';
import { serviceObject } from '../fixture.ts';
import { hello, joined, type Ruling, ruling, servicesOf, settled, term, vip } from '../ruling.ts';

test('a node that was barred before its VIPs were published loses them when placement begins', async () => {
  const one = ruling();
  one.eligibility.barred = new Map([['a', 'its Node was deleted']]);
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const b = joined(one, hello('b'));
  equal(one.controller.owners.ownerOf(vip)?.node, 'a');
  await settled(one);
  const owner = one.controller.owners.ownerOf(vip);
  equal(owner?.node, 'b');
  one.sessions.message(b, { type: 'held', vips: [{ address: vip, term: owner.term }] });
  equal(one.controller.owners.moves.completed.NoEligibleNode, 1);
});

test('a VIP whose local endpoint moved while no controller ruled follows it', async () => {
  const one = ruling({ endpoints: new Set(['b']) });
  one.controller.publish({ set: servicesOf(1, { externalTrafficPolicy: 'Local' }), remove: [] });
  const [a] = [joined(one, hello('a', [{ address: vip, term }])), joined(one, hello('b'))];
  equal(a.node.placements.get(vip)?.term, term);
  await settled(one);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
});

test('a VIP that no node may have is placed as soon as a node may', async () => {
  const one = ruling();
  one.eligibility.barred = new Map([['b', 'excluded']]);
  one.controller.publish({ set: servicesOf(2), remove: [] });
  joined(one, hello('b'));
  await settled(one);
  const fresh = '10.77.0.101' as Address;
  equal(one.controller.owners.ownerOf(fresh), undefined);
  one.eligibility.barred = new Map();
  equal(one.controller.owners.ownerOf(fresh)?.node, 'b');
});

const localSpec = { externalTrafficPolicy: 'Local' };

/** Node `a` comes back with a Local VIP that was withdrawn meanwhile, and has these endpoints by then. */
async function comesBack(endpoints: ReadonlySet<string> | null) {
  let known: ReadonlySet<string> | null = new Set(['a']);
  const one = ruling({ endpointNodes: () => known });
  one.controller.publish({ set: servicesOf(1, localSpec), remove: [] });
  const claim = hello('a', [{ address: vip, term }]);
  one.sessions.close(joined(one, claim));
  await settled(one);
  known = new Set();
  one.eligibility.review([vip]);
  await settled(one);
  equal(one.controller.owners.ownerOf(vip), undefined);
  known = endpoints;
  const { node } = joined(one, claim);
  await settled(one);
  return { owner: one.controller.owners.ownerOf(vip)?.node, isTold: node.placements.get(vip) !== undefined };
}

test('a node that comes back with a VIP that it may no longer have has to let go of it', async () => {
  deepEqual(await comesBack(new Set()), { owner: undefined, isTold: false });
});

test('a node that comes back keeps its VIP if it may have it or if that is not known', async () => {
  deepEqual(await comesBack(new Set(['a'])), { owner: 'a', isTold: true });
  deepEqual(await comesBack(null), { owner: 'a', isTold: true });
});

test('a deleted Node leaves all lists once its agent has gone, and its VIPs move', async () => {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const a = joined(one, hello('a', [{ address: vip, term }]));
  joined(one, hello('b'));
  await settled(one);
  one.controller.closedConnections.ended('a', { node: 'a', code: 1006, reason: 'the connection ended' });
  one.controller.forget('a');
  equal(one.controller.nodes.get('a'), a.node);
  one.sessions.close(a);
  one.controller.forget('a');
  one.eligibility.barred = new Map([['a', 'its Node was deleted']]);
  equal(one.controller.nodes.get('a'), undefined);
  equal(one.controller.closedConnections.lastOf('a'), null);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
});

test('a VIP leaves a node that was barred while it was taking it over', async () => {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const { owners } = one.controller;
  const [a, b] = [joined(one, hello('a', [{ address: vip, term }])), joined(one, hello('b'))];
  await settled(one);
  void owners.moves.begin(vip, { to: b.node, reason: MoveReason.Asked, deadlineMs: 60_000 });
  one.eligibility.barred = new Map([['b', 'excluded']]);
  const placed = b.node.placements.get(vip);
  one.sessions.message(b, { type: 'held', vips: placed === undefined ? [] : [placed] });
  one.sessions.message(a, { type: 'held', vips: [] });
  const seq = a.stream.sentSeq('placements') ?? 0;
  one.sessions.message(a, { type: 'ack', table: 'placements', seq, commitUs: 1 });
  deepEqual([owners.moves.has(vip), owners.ownerOf(vip)?.node], [false, 'b']);
  await settled(one);
  equal(owners.ownerOf(vip)?.node, 'a');
});

test('a VIP leaves a barred node for one that has refused it, a minute later', async () => {
  const one = ruling();
  const { controller, eligibility, sessions } = one;
  controller.publish({ set: servicesOf(1), remove: [] });
  joined(one, hello('a', [{ address: vip, term }]));
  const b = joined(one, hello('b'));
  await settled(one);
  eligibility.barred = new Map([['a', 'excluded']]);
  equal(controller.owners.ownerOf(vip)?.node, 'b');
  const refused = { type: 'refused', services: [], code: 'KernelRefused', reason: '' } as const;
  sessions.message(b, { ...refused, table: 'placements', key: vip });
  sessions.message(b, { type: 'accepted', table: 'placements', key: vip });
  await settled(one);
  equal(controller.owners.ownerOf(vip)?.node, 'a');
  for (let tick = 0; tick < passedTicks; tick++) sessions.tick();
  await sleep(2 * gatherMs);
  equal(controller.owners.ownerOf(vip)?.node, 'b');
});

/** The nodes that may have a VIP shared by these Services, which are in order. */
function nodesOf(
  users: readonly { readonly port: number; readonly local?: readonly string[] | null }[],
  barred: readonly string[] = [],
): string[] {
  const names = users.map((_, index) => `s${index}`);
  const one = ruling({
    endpointNodes: (key) => {
      const nodes = users[names.indexOf(key.split('/')[1] ?? '')]?.local;
      return nodes == null ? null : new Set(nodes);
    },
  });
  one.eligibility.barred = new Map(barred.map((node) => [node, 'excluded']));
  const set = users.flatMap(({ port, local }, index) => {
    const annotations = { 'vipward.io/addresses': vip };
    const spec = local === undefined ? {} : { externalTrafficPolicy: 'Local' };
    return readDocument(serviceObject(`s${index}`, { annotations, ports: [port], spec })).services;
  });
  one.controller.publish({ set, remove: [] });
  const bar = one.eligibility.bar(vip);
  return ['a', 'b', 'c'].filter((node) => bar(node) === null);
}

test('a Local Service without endpoints does not restrict the nodes of a shared VIP', () => {
  deepEqual(nodesOf([{ port: 80 }, { port: 81, local: [] }]), ['a', 'b', 'c']);
  deepEqual(nodesOf([{ port: 80, local: [] }, { port: 81 }]), ['a', 'b', 'c']);
  deepEqual(
    nodesOf([
      { port: 80, local: [] },
      { port: 81, local: ['b'] },
    ]),
    ['b'],
  );
  deepEqual(nodesOf([{ port: 80, local: ['c'] }, { port: 81 }], ['c']), ['a', 'b']);
  // If no Service has an endpoint the VIP is withdrawn.
  deepEqual(
    nodesOf([
      { port: 80, local: [] },
      { port: 81, local: [] },
    ]),
    [],
  );
});

test('a VIP may be where all its Local Services have endpoints, else where the first ones have', () => {
  const common = [
    { port: 80, local: ['a', 'b'] },
    { port: 81, local: ['b', 'c'] },
  ];
  deepEqual(nodesOf(common), ['b']);
  deepEqual(nodesOf([...common, { port: 82, local: ['c'] }]), ['b']);
  deepEqual(nodesOf([{ port: 80, local: ['a'] }, { port: 81, local: ['c'] }, { port: 82 }]), ['a']);
});

test('a Local Service that has none of its ports does not restrict the nodes of a VIP', () => {
  deepEqual(nodesOf([{ port: 80 }, { port: 80, local: ['a'] }]), ['a', 'b', 'c']);
  deepEqual(
    nodesOf([
      { port: 80, local: ['a'] },
      { port: 80, local: ['b'] },
    ]),
    ['a'],
  );
});

test('a shared VIP may be nowhere until its endpoints are read', () => {
  deepEqual(nodesOf([{ port: 80 }, { port: 81, local: null }]), []);
});

/** A VIP shared by two Services; the second one is Local and has endpoints on these nodes. */
function shared(endpoints: Set<string>): Ruling {
  const one = ruling({ endpointNodes: () => endpoints });
  const annotations = { 'vipward.io/addresses': vip };
  const spec = { externalTrafficPolicy: 'Local' };
  const objects = [
    serviceObject('web-0', { annotations, ports: [80] }),
    serviceObject('web-1', { annotations, ports: [81], spec }),
  ];
  one.controller.publish({ set: objects.flatMap((object) => readDocument(object).services), remove: [] });
  return one;
}

test('a shared VIP leaves a barred node with its Local endpoint only once another node has one', async () => {
  const endpoints = new Set(['a']);
  const one = shared(endpoints);
  joined(one, hello('a', [{ address: vip, term }]));
  joined(one, hello('b'));
  await settled(one);
  one.eligibility.barred = new Map([['a', 'excluded']]);
  await settled(one);
  equal(one.controller.owners.ownerOf(vip)?.node, 'a');
  endpoints.add('b');
  one.eligibility.review([vip]);
  await settled(one);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
});

test('a shared VIP returns to the node of its Local endpoint once that is free and connected', async () => {
  const one = shared(new Set(['a']));
  const barred = new Map([['a', 'excluded']]);
  one.eligibility.barred = barred;
  const b = joined(one, hello('b'));
  await settled(one);
  const owner = one.controller.owners.ownerOf(vip);
  equal(owner?.node, 'b');
  one.sessions.message(b, { type: 'held', vips: [{ address: vip, term: owner.term }] });
  barred.delete('a');
  one.eligibility.barred = barred;
  await settled(one);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
  barred.set('a', 'excluded');
  one.eligibility.barred = barred;
  joined(one, hello('a'));
  barred.delete('a');
  one.eligibility.barred = barred;
  await settled(one);
  equal(one.controller.owners.ownerOf(vip)?.node, 'a');
});
