// The claims of nodes after a controller began to rule: terms are compared by generation first, so that no
// number makes an older term the later one.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { whyNotOn } from '../../../src/controller/status/vip-state.ts';
import type { Address } from '../../../src/state/address.ts';
import { hello, joined, ruling, servicesOf, vip } from '../ruling.ts';

const most = Number.MAX_SAFE_INTEGER;
/** The generation of the records; the controller's own is one above. */
const recorded = 3;

/** A controller that rules in the generation after that of the record; by the record `a` has the VIP. */
function begun() {
  const one = ruling({ term: { generation: recorded, n: 1 } });
  one.controller.publish({ set: servicesOf(1), remove: [] });
  return one;
}

test('a claim of an older generation than the record is ignored, however high its number', () => {
  const one = begun();
  const claim = [{ address: vip, term: { generation: recorded - 1, n: most } }];
  const { node } = joined(one, hello('liar', claim));
  const owner = { node: 'a', term: { generation: recorded, n: 1 } };
  deepEqual([one.controller.owners.ownerOf(vip), node.impossible.size], [owner, 0]);
  equal(node.placements.get(vip), undefined);
  joined(one, hello('a', [{ address: vip, term: owner.term }]));
  one.controller.owners.settle();
  deepEqual(one.controller.owners.ownerOf(vip), owner);
});

test('a claim by the term of the recorded owner does not take the VIP from that node', () => {
  const one = begun();
  const term = { generation: recorded, n: 1 };
  const { node } = joined(one, hello('liar', [{ address: vip, term }]));
  deepEqual([one.controller.owners.ownerOf(vip), node.placements.get(vip)], [{ node: 'a', term }, undefined]);
});

test('a claim of the present generation with a number that was not issued yet is impossible', () => {
  const one = begun();
  const { node } = joined(one, hello('liar', [{ address: vip, term: { generation: recorded + 1, n: 1 } }]));
  equal(node.impossible.has(vip), true);
  equal(one.controller.owners.ownerOf(vip)?.node, 'a');
  equal(
    whyNotOn(one.controller, vip, { name: 'liar', node }),
    `claims ${vip} by a term that no controller issued`,
  );
});

test('an impossible claim before the first reading makes no owner', () => {
  const { controller, sessions } = ruling({ term: { generation: recorded, n: 1 } });
  const address = '10.77.0.101' as Address;
  const claim = [{ address, term: { generation: recorded + 1, n: 1 } }];
  sessions.open(hello('liar', claim), { send: () => undefined, bufferedAmount: 0 });
  controller.publish({ set: servicesOf(2), remove: [] });
  deepEqual([controller.rules.size, controller.owners.ownerOf(address)], [2, undefined]);
});

test('a later claim of the recorded generation wins, as after a move that was not recorded in time', () => {
  const one = begun();
  const later = { generation: recorded, n: 2 };
  joined(one, hello('b', [{ address: vip, term: later }]));
  deepEqual(one.controller.owners.ownerOf(vip), { node: 'b', term: later });
  // The recorded owner connects with its term, which is the older one now.
  const { node } = joined(one, hello('a', [{ address: vip, term: { generation: recorded, n: 1 } }]));
  equal(one.controller.owners.ownerOf(vip)?.node, 'b');
  equal(node.placements.get(vip), undefined);
});

test('of two claims without a record, the one of the later generation wins', () => {
  const one = ruling({ term: { generation: recorded, n: 1 } });
  const [other] = servicesOf(2).slice(1);
  if (other === undefined) throw new TypeError('no second Service');
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const second = one.controller.allocator.outcomeOf(other);
  if (!('addresses' in second)) throw new TypeError(second.refusal.message);
  const [address] = second.addresses;
  if (address === undefined) throw new TypeError('no address');
  joined(one, hello('liar', [{ address, term: { generation: recorded - 1, n: most } }]));
  joined(one, hello('b', [{ address, term: { generation: recorded, n: 7 } }]));
  one.controller.apply({ set: [other], remove: [] });
  equal(one.controller.owners.ownerOf(address)?.node, 'b');
});
