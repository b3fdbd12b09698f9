// Planned moves of many VIPs at a time.

import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gatherMs } from '../../../src/controller/owners/eligibility.ts';
import { MoveReason } from '../../../src/controller/owners/moves.ts';
import type { Session } from '../../../src/controller/sessions.ts';
import type { AgentMessage } from '../../../src/protocol/messages.ts';
import type { Address } from '../../../src/state/address.ts';
import { hello, joined, ruling, servicesOf, settled, term, vip } from '../ruling.ts';

const count = 50;
const vips = Array.from({ length: count }, (_, index) => `10.77.0.${100 + index}` as Address);

/** Moves of all VIPs from `a` to `b`. */
function moving() {
  const one = ruling({ count });
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(count), remove: [] });
  const held = vips.map((address) => ({ address, term }));
  const [from, to] = [hello('a', held), hello('b')].map((said) => joined(one, said)) as [Session, Session];
  controller.owners.settle();
  const order = { to: to.node, reason: MoveReason.Asked, deadlineMs: 60_000 };
  const results = vips.map((vip) => controller.owners.moves.begin(vip, order));
  const say = (session: Session, message: AgentMessage): void =>
    equal(sessions.message(session, message), null);
  const ack = (session: Session, seq = session.stream.sentSeq('placements') ?? 0): void =>
    say(session, { type: 'ack', table: 'placements', seq, commitUs: 1 });
  const takes = (vip: Address): void => {
    const placed = to.node.placements.get(vip);
    ok(placed !== undefined);
    say(to, { type: 'heldDelta', set: [placed], remove: [] });
  };
  const letsGo = (vip: Address): void => say(from, { type: 'heldDelta', set: [], remove: [vip] });
  const areMoving = (): number => vips.filter((vip) => controller.owners.moves.has(vip)).length;
  return { from, to, say, ack, takes, letsGo, areMoving, results };
}

test('a message of the old owner costs no look at the other VIPs that move from it', () => {
  const { from, ack, takes, letsGo, areMoving } = moving();
  for (const vip of vips) takes(vip);
  ack(from);
  let looks = 0;
  const { hasAcked } = from.node;
  from.node.hasAcked = (...asked) => {
    looks++;
    return hasAcked.apply(from.node, asked);
  };
  for (const vip of vips) letsGo(vip);
  equal(areMoving(), 0);
  ok(looks <= 4 * count, `${looks} looks`);
});

test('a move ends once the old owner has let go and acknowledged that, in either order', async () => {
  const { from, ack, takes, letsGo, areMoving, results } = moving();
  const [first, second] = vips as [Address, Address];
  for (const vip of [first, second]) takes(vip);
  const { seq } = from.node.placements;
  letsGo(first);
  equal(areMoving(), count);
  ack(from, seq - 1);
  equal(areMoving(), count - 1);
  ack(from, seq);
  equal(areMoving(), count - 1);
  letsGo(second);
  equal(areMoving(), count - 2);
  deepEqual(
    (await Promise.all(results.slice(0, 2))).map((result) => 'term' in result),
    [true, true],
  );
});

test('the old owner lets go only once the new one has the VIP by the term of the move', () => {
  const { from, to, say, takes } = moving();
  const isTold = (): boolean => from.node.placements.get(vip) === undefined;
  // The new owner had the VIP before, and has to let go of that.
  say(to, { type: 'heldDelta', set: [{ address: vip, term }], remove: [] });
  equal(isTold(), false);
  takes(vip);
  equal(isTold(), true);
});

test('a move ends once the new owner has the VIP if the old one was never told of it', async () => {
  const one = ruling();
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(1), remove: [] });
  // Before the time for claims is over, an owner of the records is told of nothing that it does not claim.
  const [from, to] = [hello('a'), hello('b')].map((said) => joined(one, said)) as [Session, Session];
  from.node.startPlacements();
  const seq = from.stream.sentSeq('placements') ?? 0;
  equal(sessions.message(from, { type: 'ack', table: 'placements', seq, commitUs: 1 }), null);
  const order = { to: to.node, reason: MoveReason.Asked, deadlineMs: 60_000 };
  const result = controller.owners.moves.begin(vip, order);
  const placed = to.node.placements.get(vip);
  ok(placed !== undefined);
  equal(sessions.message(to, { type: 'heldDelta', set: [placed], remove: [] }), null);
  equal(controller.owners.moves.has(vip), false);
  deepEqual(await result, { term: placed.term });
});

test('a VIP leaves a node that was barred during a move that its old owner never confirms', async () => {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const { owners } = one.controller;
  const [, to] = [hello('a', [{ address: vip, term }]), hello('b'), hello('c')].map((said) =>
    joined(one, said),
  );
  await settled(one);
  ok(to !== undefined);
  const moved = owners.moves.begin(vip, { to: to.node, reason: MoveReason.Asked, deadlineMs: 4 * gatherMs });
  one.eligibility.barred = new Map([['b', 'excluded']]);
  const placed = to.node.placements.get(vip);
  ok(placed !== undefined);
  one.sessions.message(to, { type: 'held', vips: [placed] });
  equal('failed' in (await moved), true);
  await sleep(2 * gatherMs);
  notEqual(owners.ownerOf(vip)?.node, 'b');
});
