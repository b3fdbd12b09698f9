// Which readings are believed at once, which wait for a second one and for how long, by a clock of the test.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Allocations } from '../../../src/controller/allocate.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { isMassRemoval, vipsLost } from '../../../src/controller/readings/mass-removal.ts';
import { type Address, parseAddress } from '../../../src/state/address.ts';
import { keyOf, massRemovalWaitMs, names, readingsOf, startClock } from './read.ts';

test('a removal waits if it is of more than ten VIPs and of more than half of them', (t) => {
  startClock(t);
  for (const [before, after, waits] of [
    [10, 0, false],
    [11, 0, true],
    [22, 11, false],
    [21, 10, true],
    [40, 20, false],
  ] as const) {
    const { controller, readings, become } = readingsOf();
    become(names(before));
    become(names(after));
    const held = waits ? { vips: before - after, secondsLeft: 30 } : null;
    deepEqual([readings.massRemoval, controller.rules.size], [held, waits ? before : after]);
  }
});

test('a removal that waits is believed after the second reading, and other changes at once', async (t) => {
  const pass = startClock(t);
  const read = readingsOf();
  const { controller, readings, did, become } = read;
  become(names(20));
  become([]);
  deepEqual(did.told, [{ vips: 20, secondsLeft: 30 }]);
  await pass(read, 12_500);
  become(['new']);
  deepEqual([readings.massRemoval, controller.rules.size], [{ vips: 20, secondsLeft: 18 }, 21]);
  await pass(read, 17_499);
  deepEqual([did.readAgain, did.told.length, controller.rules.size], [0, 1, 21]);
  await pass(read, 1);
  deepEqual([did.readAgain, readings.massRemoval, controller.rules.size], [1, null, 1]);
  await pass(read, massRemovalWaitMs);
  deepEqual([did.readAgain, did.told.length, did.told.at(-1)], [1, 2, null]);
});

test('a second reading counts only if it is whole and every Service with a VIP can be read', async (t) => {
  const pass = startClock(t);
  const read = readingsOf();
  const { controller, readings, truth, did, state, become } = read;
  become(names(20));
  become([]);
  state.onReadAgain = () => become([], {}, false);
  await pass(read, massRemovalWaitMs);
  await pass(read, 1000);
  deepEqual([did.readAgain, readings.massRemoval], [1, { vips: 20, secondsLeft: 0 }]);
  state.onReadAgain = () => {
    become([]);
    truth.invalid.set(keyOf(1), 'no ports');
  };
  await pass(read, massRemovalWaitMs - 1000);
  state.onReadAgain = () => undefined;
  state.mayBelieve = false;
  truth.invalid.clear();
  truth.invalid.set(keyOf(99), 'no VIP');
  await pass(read, massRemovalWaitMs);
  deepEqual([did.readAgain, controller.rules.size], [3, 20]);
  state.mayBelieve = true;
  await pass(read, massRemovalWaitMs);
  deepEqual([did.readAgain, controller.rules.size, did.told.length], [4, 0, 2]);
});

test('a removal that is undone in time is forgotten, and the next one waits as long', async (t) => {
  const pass = startClock(t);
  const read = readingsOf();
  const { controller, readings, did, become } = read;
  become(names(20));
  const assigned = new Map(controller.allocator.assigned);
  become([]);
  await pass(read, 10_000);
  become(names(20));
  deepEqual([did.told.length, readings.massRemoval, did.told.at(-1)], [2, null, null]);
  await pass(read, massRemovalWaitMs);
  deepEqual([did.readAgain, controller.allocator.assigned], [0, assigned]);
  become(names(1));
  deepEqual(readings.massRemoval, { vips: 19, secondsLeft: 30 });
});

test('Services that ask for other addresses lose theirs, and Services with other ports do not', (t) => {
  startClock(t);
  const { controller, readings, become } = readingsOf();
  become(names(20));
  become(names(20), { ports: [81] });
  ok([...controller.rules.keys()].every((address) => controller.rules.get(address)?.ports[0]?.port === 81));
  become(names(20), { annotations: { 'vipward.io/pool': 'nowhere' } });
  deepEqual([readings.massRemoval?.vips, controller.rules.size], [20, 20]);
});

test('a removal that waits is believed at once when removals need not wait any more', async (t) => {
  const pass = startClock(t);
  const read = readingsOf();
  const { controller, readings, did, state, become } = read;
  readings.mode = 'now';
  readings.mode = 'wait';
  become(names(20));
  become([]);
  readings.mode = 'wait';
  state.mayBelieve = false;
  readings.mode = 'now';
  equal(controller.rules.size, 20);
  state.mayBelieve = true;
  readings.mode = 'now';
  deepEqual([controller.rules.size, readings.massRemoval, did.told.length], [0, null, 2]);
  become(names(20));
  become([]);
  equal(controller.rules.size, 0);
  await pass(read, massRemovalWaitMs);
  equal(did.readAgain, 0);
});

test('a first reading is believed once it is whole and every recorded Service can be read', (t) => {
  startClock(t);
  const recorded = new Map([[keyOf(0), ['10.77.0.150' as Address]]]);
  const { controller, readings, truth, did, become } = readingsOf(recorded);
  const facts = () => [controller.isPublished, readings.wasReadWhole, did.published];
  truth.invalid.set(keyOf(7), 'no VIP');
  become(names(1), {}, false);
  deepEqual(facts(), [false, false, 0]);
  truth.invalid.set(keyOf(0), 'no ports');
  deepEqual(readings.unreadable(), [keyOf(0)]);
  become([]);
  deepEqual(facts(), [false, false, 0]);
  truth.invalid.delete(keyOf(0));
  become(names(2));
  deepEqual(facts(), [true, true, 1]);
  deepEqual([...controller.rules.keys()], ['10.77.0.150', '10.77.0.100']);
  become(names(3));
  deepEqual(facts(), [true, true, 1]);
});

test('a first reading without most recorded VIPs is published after the second one', async (t) => {
  const pass = startClock(t);
  const recorded = names(20).map(
    (_, index) => [keyOf(index), [`10.77.0.${150 + index}` as Address]] as const,
  );
  const read = readingsOf(new Map(recorded));
  const { controller, readings, did, become } = read;
  become(names(1));
  deepEqual([readings.wasReadWhole, controller.isPublished, readings.massRemoval?.vips], [true, false, 19]);
  await pass(read, massRemovalWaitMs);
  deepEqual([did.readAgain, did.published, [...controller.rules.keys()]], [1, 1, ['10.77.0.150']]);
  deepEqual([...controller.allocator.assigned.keys()], [keyOf(0)]);
});

test('a Service is disputed while a change of it waits, and every one is while none may be believed', (t) => {
  startClock(t);
  const { readings, state, become } = readingsOf();
  become(names(20));
  const are = () => [0, 99].map((index) => readings.isUndisputed(keyOf(index)));
  deepEqual(are(), [true, true]);
  become([]);
  deepEqual(are(), [false, true]);
  state.mayBelieve = false;
  deepEqual(are(), [false, false]);
});

test('pools without most VIPs wait for a second reading, and pools put back remove none', async (t) => {
  startClock(t);
  const { controller, readings, become } = readingsOf();
  become(names(20));
  const assigned = new Map(controller.allocator.assigned);
  await readings.usePools(parsePools(['p=10.77.0.110-10.77.0.199']));
  deepEqual([readings.massRemoval, controller.rules.size], [null, 20]);
  ok(controller.allocator.addressesOf(keyOf(0))[0]?.startsWith('10.77.0.12'));
  await readings.usePools(parsePools(['p=10.88.0.0/16']));
  equal(readings.massRemoval?.vips, 20);
  await readings.usePools(parsePools(['p=10.77.0.110-10.77.0.199']));
  deepEqual([readings.massRemoval, controller.rules.size], [null, 20]);
  await readings.usePools(parsePools(['p=10.77.0.100-10.77.0.199']));
  equal(controller.allocator.assigned.size, assigned.size);
});

test('a VIP is lost if no Service has it any more', () => {
  const [one, two, three] = ['10.77.0.1', '10.77.0.2', '10.77.0.3'] as Address[];
  ok(one !== undefined && two !== undefined && three !== undefined);
  const assigned = new Map([
    [keyOf(0), [one, two]],
    [keyOf(1), [two, three]],
  ]);
  const lost = (after: Allocations) => vipsLost(after, assigned);
  deepEqual(lost(new Map()), { lost: 0, all: 3 });
  deepEqual(lost(new Map([[keyOf(0), []]])), { lost: 1, all: 3 });
  deepEqual(
    lost(
      new Map([
        [keyOf(0), [two]],
        [keyOf(1), []],
      ]),
    ),
    { lost: 2, all: 3 },
  );
  deepEqual(
    lost(
      new Map([
        [keyOf(0), []],
        [keyOf(2), [one]],
      ]),
    ),
    { lost: 0, all: 3 },
  );
  const isMass = (few: number, all: number) => isMassRemoval({ lost: few, all });
  deepEqual([isMass(10, 10), isMass(11, 11), isMass(11, 21), isMass(11, 22)], [false, true, true, false]);
});

test('the source is not read again after the end', async (t) => {
  const pass = startClock(t);
  const read = readingsOf();
  read.become(names(20));
  read.become([]);
  await read.readings.readAgain();
  read.readings.dispose();
  await pass(read, massRemovalWaitMs);
  equal(read.did.readAgain, 1);
});

for (const who of ['a Service', 'a node'])
  test(`thousands of Services ask a full pool in turns once ${who} frees an address`, async () => {
    const { controller, readings, did, become } = readingsOf();
    const { allocator } = controller;
    const last = parseAddress('10.77.0.199');
    allocator.isHeld = (address) => who === 'a node' && address === last;
    become(names(4000));
    while (did.published === 0) await nextTurn();
    allocator.isHeld = () => false;
    if (who === 'a node') controller.freed([last]);
    else readings.follow({ set: [], remove: [keyOf(0)] }, true);
    let turns = 0;
    for (; !readings.isUndisputed(keyOf(1)); turns++) await nextTurn();
    ok(turns > 10, `${turns} turns`);
    equal(allocator.assigned.size, 100);
  });
