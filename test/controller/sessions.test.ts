// What the messages of one agent do, without sockets.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { MoveReason } from '../../src/controller/owners/moves.ts';
import type { Session } from '../../src/controller/sessions.ts';
import type { TableName } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { hello, joined, type Ruling, ruling, servicesOf, term, vip } from './ruling.ts';

const services = servicesOf(2);
const other = '10.77.0.101' as Address;

/** A node says hello; with the frames that it is sent. */
function opened({ sessions }: Ruling, node: string) {
  const frames: Buffer[] = [];
  const session = sessions.open(hello(node), { send: (frame) => void frames.push(frame), bufferedAmount: 0 });
  sessions.begin(session);
  return { session, frames };
}

function ack({ sessions }: Ruling, session: Session, table: TableName, seq: number): void {
  equal(sessions.message(session, { type: 'ack', table, seq, commitUs: 1 }), null);
}

test('before the first reading a resync is not answered: the table would be an empty one', () => {
  const one = ruling();
  const { session, frames } = opened(one, 'a');
  const resync = { type: 'resync', table: 'rules', have: hello('a').rules } as const;
  deepEqual([one.sessions.message(session, resync), frames], [null, []]);
});

test('the first ack of a stream measures no lag, and an older ack takes nothing back', () => {
  const one = ruling();
  const { controller } = one;
  controller.publish({ set: services.slice(0, 1), remove: [] });
  const session = joined(one, hello('a'));
  const { node } = session;
  deepEqual([node.acked.rules, node.lagMs], [1, null]);
  controller.apply({ set: services.slice(1), remove: [] });
  ack(one, session, 'rules', 2);
  ack(one, session, 'rules', 1);
  deepEqual([node.acked.rules, node.lagMs], [2, 0]);
});

test('a refusal of rules on a former stream is over with the first ack of rules, not of placements', () => {
  const one = ruling();
  const { controller, sessions } = one;
  controller.publish({ set: services, remove: [] });
  controller.owners.settle();
  const before = opened(one, 'b').session;
  const why = { services: [], code: 'AddressConflict', reason: 'it is an address of eth0' } as const;
  sessions.message(before, { type: 'refused', table: 'rules', key: vip, ...why });
  sessions.close(before);
  const { session } = opened(one, 'b');
  const { node } = session;
  ack(one, session, 'placements', node.placements.seq);
  equal(node.hasItself(vip), true);
  ack(one, session, 'rules', controller.rules.seq);
  equal(node.hasItself(vip), false);
});

test('nothing waits for a node that is gone: no move to it, and no rules that it had to let go of', () => {
  const one = ruling({ count: 2 });
  const { controller, sessions } = one;
  const { owners, rules } = controller;
  controller.publish({ set: services, remove: [] });
  const held = [vip, other].map((address) => ({ address, term }));
  const [a, b] = [joined(one, hello('a', held)), joined(one, hello('b'))];
  owners.settle();
  void owners.moves.begin(vip, { to: b.node, reason: MoveReason.Asked, deadlineMs: 60_000 });
  controller.apply({ set: [], remove: services.slice(1).map(({ key }) => key) });
  deepEqual([owners.ownerOf(vip)?.node, owners.leaving.has(other)], ['b', true]);
  sessions.close(b);
  deepEqual([owners.ownerOf(vip)?.node, owners.moves.has(vip)], ['a', false]);
  sessions.close(a);
  deepEqual([rules.get(other), owners.leaving.has(other)], [undefined, false]);
});
