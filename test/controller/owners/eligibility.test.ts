// What the cluster says of nodes and endpoints counts for a VIP whenever it was said.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { Address } from '../../../src/state/address.ts';
import { serviceObject } from '../fixture.ts';
import { hello, joined, type Ruling, ruling, servicesOf, settled, term, vip } from '../ruling.ts';

test('a node that was barred before its VIPs were published loses them once all had their time', async () => {
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

test('a VIP whose last local endpoint went while nobody ruled does not stay on its node', async () => {
  const one = ruling({ endpoints: new Set(['b']) });
  one.controller.publish({ set: servicesOf(1, { externalTrafficPolicy: 'Local' }), remove: [] });
  const [a] = [joined(one, hello('a', [{ address: vip, term }])), joined(one, hello('b'))];
  equal(a.node.placements.get(vip)?.term, term);
  await settled(one);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
});

test('a VIP that no node may have is placed as soon as one may', async () => {
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

test('a node that comes back with a VIP it may not have any more has to let go of it', async () => {
  deepEqual(await comesBack(new Set()), { owner: undefined, isTold: false });
});

test('it keeps the VIP where it may have it, and where it is not known whether it may', async () => {
  deepEqual(await comesBack(new Set(['a'])), { owner: 'a', isTold: true });
  deepEqual(await comesBack(null), { owner: 'a', isTold: true });
});

test('a deleted Node is in no list any more once its agent is gone, and its VIPs move', async () => {
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

/** Where the VIP may be that Services share: the first of them is first in their order. */
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

test('a Local Service with no endpoint anywhere takes a shared VIP from nobody', () => {
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
  // Where nobody else has a node it is withdrawn.
  deepEqual(
    nodesOf([
      { port: 80, local: [] },
      { port: 81, local: [] },
    ]),
    [],
  );
});

test('a VIP is where all its Local Services have endpoints, else where the first of them have', () => {
  const common = [
    { port: 80, local: ['a', 'b'] },
    { port: 81, local: ['b', 'c'] },
  ];
  deepEqual(nodesOf(common), ['b']);
  deepEqual(nodesOf([...common, { port: 82, local: ['c'] }]), ['b']);
  deepEqual(nodesOf([{ port: 80, local: ['a'] }, { port: 81, local: ['c'] }, { port: 82 }]), ['a']);
});

test('a Local Service whose ports belong to others has no say in where they are', () => {
  deepEqual(nodesOf([{ port: 80 }, { port: 80, local: ['a'] }]), ['a', 'b', 'c']);
  deepEqual(
    nodesOf([
      { port: 80, local: ['a'] },
      { port: 80, local: ['b'] },
    ]),
    ['a'],
  );
});

test('a shared VIP waits for endpoints that were not read yet', () => {
  deepEqual(nodesOf([{ port: 80 }, { port: 81, local: null }]), []);
});

/** A VIP that two Services share, of which the second is Local and has endpoints on these nodes. */
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

test('a shared VIP stays with its Local Service for a label, and goes once that can', async () => {
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

test('a shared VIP comes back to its Local Service once the node of that may have VIPs and can', async () => {
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
