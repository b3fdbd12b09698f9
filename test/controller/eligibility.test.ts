// What the cluster says of nodes and endpoints counts for a VIP whenever it was said.

import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { hello, joined, ruling, servicesOf, settled, term, vip } from './ruling.ts';

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

test('a deleted Node is in no list any more once its agent is gone, and its VIPs move', async () => {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const a = joined(one, hello('a', [{ address: vip, term }]));
  joined(one, hello('b'));
  await settled(one);
  one.controller.closings.ended('a', { node: 'a', code: 1006, reason: 'the connection ended' });
  one.controller.forget('a');
  equal(one.controller.nodes.get('a'), a.node);
  one.sessions.close(a);
  one.controller.forget('a');
  one.eligibility.barred = new Map([['a', 'its Node was deleted']]);
  equal(one.controller.nodes.get('a'), undefined);
  equal(one.controller.closings.lastOf('a'), null);
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
});
