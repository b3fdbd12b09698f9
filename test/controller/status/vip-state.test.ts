// The states of a VIP that its node holds and no client reaches.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { vipState } from '../../../src/controller/status/vip-state.ts';
import { hello, joined, ruling, servicesOf, settled, term, vip } from '../ruling.ts';

const held = { address: vip, term };

test('a VIP whose link is down or without carrier is unowned, and stays where it is', async () => {
  const one = ruling();
  const { controller, sessions } = one;
  controller.publish({ set: servicesOf(1), remove: [] });
  const a = joined(one, hello('a', [held]));
  const b = joined(one, hello('b'));
  await settled(one);
  const said = () => {
    const { state, reason } = vipState(controller, vip);
    return `${state} ${reason}`;
  };
  equal(said(), 'serving Announced');
  const placed = [a.node.placements.seq, b.node.placements.seq];
  const down = { ...held, down: true } as const;
  sessions.message(a, { type: 'heldDelta', set: [down], remove: [] });
  equal(said(), 'unowned NoInterface');
  equal(
    vipState(controller, vip).message,
    'no client reaches it on a, which keeps it: its link there is down or has no carrier; ' +
      `repair the link, or vipward move ${vip} NODE`,
  );
  sessions.message(a, { type: 'heldDelta', set: [held], remove: [] });
  equal(said(), 'serving Announced');
  sessions.message(a, { type: 'held', vips: [down] });
  equal(said(), 'unowned NoInterface');
  sessions.message(a, { type: 'held', vips: [held] });
  equal(said(), 'serving Announced');
  deepEqual([a.node.placements.seq, b.node.placements.seq], placed);
  sessions.close(a);
  const again = joined(one, hello('a', [down]));
  equal(said(), 'unowned NoInterface');
  equal(controller.owners.ownerOf(vip)?.node, 'a');
  sessions.message(again, { type: 'heldDelta', set: [], remove: [vip] });
  equal(said(), 'pending Allocated');
});
