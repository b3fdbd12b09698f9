// Which readings are believed at once, which wait for a second one and for how long, by a clock of the test.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Allocations } from '../../../src/controller/allocate.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../src/controller/controller.ts';
import type { MassRemoval } from '../../../src/controller/readings/mass-removal.ts';
import { Readings } from '../../../src/controller/readings/readings.ts';
import { noRecords } from '../../../src/controller/records/records.ts';
import type { ServiceManifest } from '../../../src/controller/service.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { Address } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { type ServiceText, serviceObject } from '../fixture.ts';

const massRemovalWaitMs = 30_000;
const keyOf = (index: number) => `demo/s${index}` as ServiceKey;

function manifest(name: string, text: ServiceText): ServiceManifest {
  const [service] = readDocument(serviceObject(name, text)).services;
  ok(service !== undefined);
  return service;
}

/** Readings of a source that the test changes, with recorded addresses. */
function readingsOf(allocations: Allocations = new Map()) {
  const did = { readAgain: 0, published: 0, told: [] as (MassRemoval | null)[] };
  const state = { nowMs: 0, mayBelieve: true, onReadAgain: () => {} };
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1, allocations },
    pools: parsePools(['p=10.77.0.100-10.77.0.199']),
    filterByDefault: true,
    nowMs: () => state.nowMs,
    onChange: () => undefined,
  });
  const truth = { services: new Map<ServiceKey, ServiceManifest>(), invalid: new Map<ServiceKey, string>() };
  const readings = new Readings({
    controller,
    truth,
    massRemoval: 'wait',
    massRemovalWaitMs,
    mayBelieve: () => state.mayBelieve,
    readAgain: async () => {
      did.readAgain++;
      state.onReadAgain();
    },
    onPublished: () => did.published++,
    onMassRemoval: (held) => did.told.push(held),
    nowMs: () => state.nowMs,
  });
  /** From now on the source has these Services, and no others. */
  const become = (names: readonly string[], text: ServiceText = {}, isComplete = true) => {
    const set = names.map((name) => manifest(name, text));
    const remove = [...truth.services.keys()].filter((key) => set.every((one) => one.key !== key));
    for (const key of remove) truth.services.delete(key);
    for (const one of set) truth.services.set(one.key, one);
    readings.follow({ set, remove }, isComplete);
  };
  return { controller, readings, truth, did, state, become };
}

type Read = ReturnType<typeof readingsOf>;

const names = (count: number) => Array.from({ length: count }, (_, index) => `s${index}`);

function startClock(t: TestContext): (read: Read, ms: number) => Promise<void> {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  return async ({ state }, ms) => {
    state.nowMs += ms;
    t.mock.timers.tick(ms);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
  };
}

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
