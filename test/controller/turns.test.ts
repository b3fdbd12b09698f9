// Long work lets the event loop run, and a change that comes meanwhile is neither lost nor applied too early.

import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { parsePools } from '../../src/controller/allocation/pools.ts';
import { Controller } from '../../src/controller/controller.ts';
import { massRemovalWaitMs } from '../../src/controller/readings/mass-removal.ts';
import { Readings } from '../../src/controller/readings/readings.ts';
import { noRecords } from '../../src/controller/records/records.ts';
import { Catalog } from '../../src/controller/sources/catalog.ts';
import { readDocument } from '../../src/controller/sources/manifest.ts';
import { inTurns, TurnQueue } from '../../src/controller/turns.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { serviceObject } from './fixture.ts';

const busy = (ms: number): void => {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
};

test('short work is finished at once', () => {
  const done: string[] = [];
  inTurns([undefined, undefined].values(), { done: () => done.push('all') });
  deepEqual(done, ['all']);
});

test('long work lets the event loop run at least five times', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isDone = false;
  function* steps(): Generator<void, void> {
    for (let step = 0; step < 200; step++) yield busy(1);
  }
  const done = () => {
    isDone = true;
    resolve();
  };
  inTurns(steps(), { done });
  let turns = 0;
  for (; !isDone; turns++) await turn();
  await promise;
  ok(turns >= 5, `${turns} turns`);
});

test('with leastSteps 1 a turn takes one long step', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let steps = 0;
  const stepsByTurn: number[] = [];
  const long = (function* () {
    for (; steps < 4; steps++) yield busy(20);
  })();
  inTurns(long, { leastSteps: 1, done: resolve, pause: () => stepsByTurn.push(steps) });
  await promise;
  deepEqual(stepsByTurn, [0, 1, 2, 3]);
});

test('a key added to a busy queue is processed once, and after the earlier ones', async () => {
  const looks: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const turns: number[] = [];
  const look = (key: number) => {
    busy(1);
    looks.push(key);
  };
  const queue = new TurnQueue(look, { pause: () => turns.push(looks.length), done: resolve });
  const keys = Array.from({ length: 100 }, (_, index) => index);
  queue.add(keys);
  queue.add([99, 100]);
  ok(looks.length < 100, 'the event loop ran in between');
  await promise;
  deepEqual(looks, [...keys, 100]);
  ok((turns[0] ?? 101) < 100, 'pause is called before the last turn');
});

test('a queue with isLater processes no key in the turn in which it is added', async () => {
  const looks: number[] = [];
  const queue = new TurnQueue((key: number) => looks.push(key), { isLater: true });
  for (const key of [1, 2, 3]) queue.add([key]);
  deepEqual(looks, []);
  await turn();
  deepEqual(looks, [1, 2, 3]);
});

test('a queue that is given nothing runs no turn', () => {
  let turns = 0;
  const queue = new TurnQueue(() => undefined, { begin: () => turns++ });
  queue.add([]);
  equal(turns, 0);
  queue.add([1]);
  equal(turns, 1);
});

test('a queue goes on with the other keys after one that throws', async () => {
  const looks: number[] = [];
  const look = (key: number) => {
    if (key === 1) throw new RangeError('no such key');
    looks.push(key);
  };
  const queue = new TurnQueue(look, {});
  throws(() => queue.add([0, 1, 2]), RangeError);
  queue.add([3]);
  deepEqual(looks, [0, 2, 3]);
});

test('an exception at the end of a turn does not end the work', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isFirst = true;
  const pause = () => {
    if (!isFirst) return;
    isFirst = false;
    throw new RangeError('once');
  };
  const slow = (function* () {
    for (let step = 0; step < 100; step++) yield busy(1);
  })();
  throws(() => inTurns(slow, { done: resolve, pause }), RangeError);
  await promise;
});

const many = 4000;
const keyOf = (index: number): ServiceKey => `demo/s${index}` as ServiceKey;

/** A controller that reads so many Services that it takes turns. */
function reading(t: TestContext) {
  const [quiet, nowMs] = [() => undefined, () => performance.now()];
  const pools = parsePools(['p=10.64.0.0/16']);
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools,
    filterByDefault: true,
    onChange: quiet,
    nowMs,
  });
  const catalog = new Catalog();
  const read = (count: number, ports: readonly number[] = [80]) => {
    const names = Array.from({ length: count }, (_, index) => `s${index}`);
    return catalog.update(
      'all',
      names.map((name) => readDocument(serviceObject(name, { ports }))),
    );
  };
  const published = Promise.withResolvers<void>();
  const readings = new Readings({
    controller,
    truth: catalog,
    massRemoval: 'wait',
    massRemovalWaitMs,
    mayBelieve: () => true,
    nowMs,
    readAgain: async () => undefined,
    onPublished: published.resolve,
    onMassRemoval: quiet,
  });
  t.after(() => readings.dispose());
  return { controller, readings, catalog, read, published: published.promise };
}

test('a reading that arrives while a change is being applied is applied after it', async (t) => {
  const { controller, readings, read, published } = reading(t);
  readings.follow(read(many), true);
  equal(controller.isPublished, false, 'the event loop ran in between');
  const last = keyOf(many - 1);
  readings.follow({ set: [], remove: [last, keyOf(0)] }, true);
  readings.follow({ set: read(many).set, remove: [] }, true);
  await published;
  equal(controller.allocator.services.has(last), false);
  equal(controller.rules.size, many - 2);
});

test('a large change begins in the next turn, and a turn applies at most 400 Services', async (t) => {
  const { controller, read } = reading(t);
  const { allocator } = controller;
  let isApplied = false;
  const applied = controller.applyInTurns({ set: read(many).set, remove: [] }).then(() => {
    isApplied = true;
  });
  equal(allocator.services.size, 0);
  const sizes: number[] = [];
  for (; !isApplied; await turn()) sizes.push(allocator.assigned.size);
  await applied;
  const steps = sizes.slice(1).map((size, index) => size - (sizes[index] ?? 0));
  ok(Math.max(...steps) <= 400, `${Math.max(...steps)} Services in a turn`);
  equal(allocator.assigned.size, many);
});

test('addresses that wait for their turn are compiled even if the turn before them throws', async (t) => {
  const { controller, read } = reading(t);
  const { compilation } = controller;
  const follow = compilation.followAtOnce;
  let isFirst = true;
  compilation.followAtOnce = (touched) => {
    follow.call(compilation, touched);
    if (!isFirst) return;
    isFirst = false;
    throw new RangeError('once');
  };
  throws(() => controller.apply({ set: read(1000).set, remove: [] }), RangeError);
  equal(controller.rules.size, 200);
  await compilation.done();
  equal(controller.rules.size, 1000);
});

for (const isReplaced of [false, true])
  test(`thousands of Services ask for a ${isReplaced ? 'replaced' : 'free'} address in turns`, async (t) => {
    const { controller, readings, catalog, published } = reading(t);
    const { allocator, nodes } = controller;
    const annotated = (addresses: string) => ({ 'vipward.io/addresses': addresses });
    const webOf = (namespace: string, annotations = annotated('10.64.0.9')) =>
      readDocument(serviceObject('web', { namespace, annotations }));
    const all = Array.from({ length: many }, (_, index) => webOf(`n${index}`));
    readings.follow(catalog.update('all', all), true);
    await published;
    const holder = 'n0/web' as ServiceKey;
    const [address] = allocator.addressesOf(holder);
    ok(address !== undefined);
    deepEqual([allocator.assigned.size, allocator.refusals.size], [1, many - 1]);
    if (isReplaced) {
      nodes.served.add(address);
      readings.follow(catalog.update('all', [webOf('n0', annotated('10.64.0.10')), ...all.slice(1)]), true);
      readings.letGo(new Map([[holder, [address]]]));
    } else readings.follow(catalog.update('all', all.slice(1)), true);
    let turns = 0;
    const isNews = ({ message }: { readonly message: string }) => !message.includes(` ${holder}:`);
    for (; ![...allocator.refusals.values()].every(isNews); turns++) await turn();
    ok(turns > 10, `${turns} turns`);
    deepEqual([allocator.usersOf(address).length, allocator.refusals.size], [1, many - 2]);
  });

test('a mass removal that is read while a change is being applied is detected', async (t) => {
  const { controller, readings, read, published } = reading(t);
  readings.follow(read(many), true);
  readings.follow(read(1), true);
  equal(controller.isPublished, false, 'the event loop ran in between');
  await published;
  equal(controller.rules.size, many);
  equal(readings.massRemoval?.vips, many - 1);
});

test('pools that change while a change is being applied are used after it', async (t) => {
  const { controller, readings, read, published } = reading(t);
  readings.follow(read(many), true);
  const used = readings.usePools(parsePools(['p=10.64.0.0/16', 'q=10.80.0.0/16']));
  equal(controller.pools.length, 1);
  await published;
  await used;
  equal(controller.pools.length, 2);
});
