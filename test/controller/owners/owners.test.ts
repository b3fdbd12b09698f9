// The owners of VIPs whose nodes come back with less than they had, or are forgotten.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { MoveReason } from '../../../src/controller/owners/moves.ts';
import type { Hello } from '../../../src/protocol/messages.ts';
import type { Address } from '../../../src/state/address.ts';
import { hello, joined, type Ruling, ruling, servicesOf, settled, term, vip } from '../ruling.ts';

const wire = { send: () => undefined, bufferedAmount: 0 };
const other = '10.77.0.101' as Address;

/** A node says hello, and that an address is its own. */
function objects({ sessions }: Ruling, node: string, key: Address) {
  const session = sessions.open(hello(node), wire);
  const why = { services: [], code: 'AddressConflict', reason: 'it is an address of eth0' } as const;
  sessions.message(session, { type: 'refused', table: 'rules', key, ...why });
  return session;
}

const placedOn = ({ controller }: Ruling, node: string, address = vip): boolean =>
  controller.nodes.get(node)?.placements.get(address) !== undefined;

for (const held of [[{ address: vip, term }], []] satisfies Hello['held'][])
  test(`a forgotten node that is back with ${held.length} of its VIPs has them again`, async () => {
    const one = ruling();
    one.controller.publish({ set: servicesOf(1), remove: [] });
    const session = joined(one, hello('a', [{ address: vip, term }]));
    await settled(one);
    one.controller.forget('a');
    one.sessions.close(session);
    equal(one.controller.nodes.get('a'), undefined);
    joined(one, hello('a', held));
    deepEqual([one.controller.owners.ownerOf(vip)?.node, placedOn(one, 'a')], ['a', true]);
    deepEqual(one.controller.nodes.get('a')?.placements.get(vip)?.term, term);
  });

test('a forgotten node that is back has all its VIPs again, though a move of one has failed', async () => {
  const one = ruling({ count: 2 });
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(2), remove: [] });
  const held = [vip, other].map((address) => ({ address, term }));
  const session = joined(one, hello('a', held));
  await settled(one);
  controller.forget('a');
  sessions.close(session);
  const next = joined(one, hello('b'));
  const order = { to: next.node, reason: MoveReason.Asked, deadlineMs: 60_000 };
  const moved = controller.owners.moves.begin(vip, order);
  const why = { services: [], code: 'NoInterface', reason: 'it has none' } as const;
  sessions.message(next, { type: 'refused', table: 'placements', key: vip, ...why });
  deepEqual(await moved, { failed: 'b refused it: NoInterface: it has none' });
  joined(one, hello('a', held));
  deepEqual([placedOn(one, 'a', vip), placedOn(one, 'a', other)], [true, true]);
});

test('an address that a node has found to be its own is not given to its owner of the records', async () => {
  const one = ruling();
  const { controller, sessions } = one;
  const former = sessions.open(hello('a'), wire);
  sessions.close(objects(one, 'b', vip));
  controller.publish({ set: servicesOf(1), remove: [] });
  sessions.begin(former);
  sessions.message(former, { type: 'ack', table: 'rules', seq: controller.rules.seq, commitUs: 1 });
  await settled(one);
  deepEqual([controller.owners.ownerOf(vip), placedOn(one, 'a')], [undefined, false]);
  controller.forget('b');
  deepEqual([controller.owners.ownerOf(vip)?.node, placedOn(one, 'a')], ['a', true]);
});

test('a VIP that is wanted again is not given back to its node if another has the address itself', () => {
  const one = ruling();
  const { controller, sessions } = one;
  const set = servicesOf(1);
  controller.publish({ set, remove: [] });
  sessions.begin(sessions.open(hello('a'), wire));
  controller.owners.settle();
  equal(placedOn(one, 'a'), true);
  controller.apply({ set: [], remove: set.map(({ key }) => key) });
  objects(one, 'b', vip);
  controller.apply({ set, remove: [] });
  deepEqual([placedOn(one, 'a'), controller.owners.nominations.get(vip)], [false, null]);
});

test('a VIP that is withdrawn before the first reading and then gone needs no node', () => {
  const one = ruling({ count: 2 });
  const { controller, sessions } = one;
  objects(one, 'b', other);
  sessions.open(hello('a'), wire);
  const [first, second] = servicesOf(2);
  controller.publish({
    set: first === undefined ? [] : [first],
    remove: second === undefined ? [] : [second.key],
  });
  deepEqual([controller.rules.get(other), controller.owners.nominations.get(other)], [undefined, undefined]);
});
