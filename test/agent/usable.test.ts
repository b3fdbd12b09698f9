// The controller is told that a VIP is held once the node answers for it: never earlier, and in every case.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { addresses } from '../../src/dialects/addresses/dialect.ts';
import { Errno } from '../../src/netlink/message.ts';
import { heldDeltaFeature } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { Room, term } from './usable-room.ts';

const whole = { set: [], remove: [], first: [], quiet: [], isWhole: true };
const [one, other] = ['fd77::100', 'fd77::101'] as Address[] as [Address, Address];

const set = (address: Address) => ({ type: 'heldDelta', set: [{ address, term }], remove: [] });

test('an IPv6 VIP is reported as held once it is usable, and not while it is tentative', async () => {
  using room = new Room();
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  await room.claim(one);
  deepEqual(room.said.splice(0), [{ type: 'held', vips: [] }]);
  deepEqual(room.reporter.heldVips(), []);
  room.arrives(one);
  deepEqual(room.said.splice(0), [set(one)]);
  await room.claim(other);
  deepEqual(room.said, []);
  room.arrives(other);
  deepEqual(room.said, [set(other)]);
});

test('of 150 VIPs that are added at once, each is reported as held once it was announced', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using room = new Room();
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  const all = Array.from({ length: 150 }, (_, last) => `10.77.0.${last}` as Address);
  await room.claim(...all);
  const { acks } = room.reporter;
  acks.add({ table: 'placements', seq: 5, receivedAtMs: 0, ...whole });
  acks.take();
  acks.settle(room.holder.arrivals);
  const counts = new Set<number>();
  for (let ms = 0; ms < 100; ms++) {
    equal(room.holder.arrivals.over, room.reporter.heldVips().length);
    counts.add(room.holder.arrivals.over);
    t.mock.timers.tick(1);
  }
  deepEqual([...counts], [64, 128, 150]);
  const told = room.said.flatMap((message) => (message.type === 'heldDelta' ? message.set : []));
  deepEqual(told.map(({ address }) => address).sort(), all.toSorted());
  deepEqual(room.tooSoon, []);
});

test('the agent does not wait for an address that the kernel lacks or whose claim failed', async () => {
  using room = new Room();
  const { arrivals } = room.holder;
  await room.claim(one);
  await room.holder.refresh([one]);
  deepEqual([arrivals.begun, arrivals.over], [1, 1]);
  room.meanwhile.taken = () => {
    room.there.push(...addresses.render({ held: [{ address: other, interfaceIndex: 7 }] }).elements);
    throw new Error('no answer');
  };
  await rejects(room.claim(other), /no answer/);
  room.arrives(other);
  await room.holder.refresh([]);
  deepEqual([arrivals.begun, arrivals.over], [2, 2]);
});

test('an IPv6 address that was there already is reported as held without an event', async () => {
  using room = new Room();
  room.errno = Errno.EEXIST;
  await room.claim(one);
  deepEqual(room.reporter.heldVips(), [{ address: one, term }]);
});

test('a VIP that becomes held between hello and welcome is reported after the welcome', async () => {
  using room = new Room();
  room.isRuled = false;
  await room.claim(one);
  deepEqual(room.reporter.heldVips(), []);
  room.arrives(one);
  room.isRuled = true;
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  deepEqual(room.said.splice(0), [{ type: 'held', vips: [{ address: one, term }] }]);
  await room.claim(other);
  room.arrives(other);
  deepEqual(room.said.splice(0), [set(other)]);
  // Another controller, whose hello was sent before that.
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  const both = [one, other].map((address) => ({ address, term }));
  deepEqual(room.said, [{ type: 'held', vips: both }]);
});

test('each ruling controller is told of a refusal once, even if another was told before', () => {
  using room = new Room();
  const refusal = { table: 'rules', key: one, services: [], code: 'Forbidden', reason: 'no' } as const;
  room.reporter.refuse(refusal);
  room.reporter.refuse(refusal);
  deepEqual(room.said.splice(0), [{ type: 'refused', ...refusal }]);
  room.reporter.ofSession.onRuler([]);
  deepEqual(room.said, [
    { type: 'held', vips: [] },
    { type: 'refused', ...refusal },
  ]);
});

test('a VIP is reported as held on a link that is down or without carrier, and when that ends', async () => {
  using room = new Room();
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  await room.claim(one);
  room.arrives(one);
  const { reporter } = room;
  for (const link of [
    { up: true, carrier: false },
    { up: false, carrier: true },
  ]) {
    room.said.length = 0;
    room.link = link;
    reporter.held([one, other]);
    deepEqual(reporter.heldVips(), [{ address: one, term, down: true }]);
    reporter.held([one]);
    room.link = { up: true, carrier: true };
    reporter.held([one]);
    const down = { type: 'heldDelta', set: [{ address: one, term, down: true }], remove: [] };
    deepEqual(room.said, [down, set(one)]);
  }
});

test('all VIPs are announced with the first whole table, and later only those that are set', async () => {
  using room = new Room();
  await room.claim('10.77.0.100' as Address, '10.77.0.101' as Address);
  const placed = ['10.77.0.100', '10.77.0.101'].map((address) => ({ address: address as Address, term }));
  room.placements = placed;
  const { onChange } = room.reporter.ofSession;
  const change = { table: 'placements', seq: 1, receivedAtMs: 0, ...whole } as const;
  const announced = (set: typeof placed, isWhole: boolean) => {
    room.frames.length = 0;
    onChange({ ...change, set, isWhole });
    return [...new Set(room.frames)];
  };
  deepEqual(announced(placed.slice(1), false), ['10.77.0.101']);
  deepEqual(announced([], true), ['10.77.0.100', '10.77.0.101']);
  // As from another controller.
  deepEqual(announced([], true), []);
  deepEqual(announced(placed.slice(0, 1), true), ['10.77.0.100']);
});

test('a VIP that is withdrawn during its move leaves both interfaces, and is held until then', async () => {
  using room = new Room();
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  await room.claim(one);
  room.arrives(one);
  room.index = 8;
  room.said.length = 0;
  await room.claim(one);
  deepEqual(room.said, []);
  room.written.length = 0;
  await room.holder.withdraw([one]);
  deepEqual(room.written, [`${one} 8`, `${one} 7`]);
  deepEqual(room.said, [{ type: 'heldDelta', set: [], remove: [one] }]);
});

const moments = { asked: 'gateways are read', taken: 'addresses are added' } as const;
for (const moment of ['asked', 'taken'] as const) {
  test(`a VIP that is unplaced while ${moments[moment]} is not refused`, async () => {
    using room = new Room();
    if (moment === 'asked') room.index = null;
    else room.errno = 19; // ENODEV
    await room.claim(one);
    deepEqual(
      room.ledger.refusals.map(({ key, code }) => [key, code]),
      [[one, 'NoInterface']],
    );
    room.meanwhile[moment] = () => room.ledger.unplace(other);
    await room.claim(other);
    deepEqual(
      room.ledger.refusals.map(({ key }) => key),
      [one],
    );
  });
}
