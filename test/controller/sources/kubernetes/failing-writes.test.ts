// Failing writes do not hold up others, and are not retried too often.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { parsePools } from '../../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../../src/controller/controller.ts';
import { noRecords } from '../../../../src/controller/records/records.ts';
import { ApiError } from '../../../../src/controller/sources/kubernetes/client.ts';
import { VirtualIpWriter } from '../../../../src/controller/sources/kubernetes/virtual-ip-writer.ts';
import { mostBeside, mostInFlight, Writes } from '../../../../src/controller/sources/kubernetes/writes.ts';
import { readDocument } from '../../../../src/controller/sources/manifest.ts';
import { until } from '../../../patience.ts';
import { serviceObject } from '../../fixture.ts';

function writing(context: TestContext, restMs: number): Writes {
  const stopping = new AbortController();
  context.after(() => stopping.abort());
  return new Writes({
    signal: stopping.signal,
    random: () => 0,
    restMs,
    mayWrite: () => true,
    onRefused: () => undefined,
  });
}

const answer = (code: number) => new ApiError(code, `made to say ${code}`, null);

test('other writes of every kind are done, however many fail permanently', async (t) => {
  const writes = writing(t, 100);
  const fails = async () => {
    throw answer(500);
  };
  for (let index = 0; index < 3 * mostInFlight; index++) writes.put('status', `wrong ${index}`, fails);
  await turn();
  const written: string[] = [];
  for (const kind of ['event', 'record', 'status'] as const)
    writes.put(kind, 'right', async () => void written.push(kind));
  await until('all three are written', () => written.length === 3);
  deepEqual(written.sort(), ['event', 'record', 'status']);
  equal(writes.waiting, 3 * mostInFlight);
});

test('slow retries take at most 12 of the writes in flight, and others are written', async (t) => {
  const writes = writing(t, 10);
  const gate = Promise.withResolvers<void>();
  t.after(() => gate.resolve());
  let slow = 0;
  for (let index = 0; index < 2 * mostInFlight; index++) {
    let tries = 0;
    writes.put('status', `wrong ${index}`, async () => {
      if (tries++ === 0) throw answer(500);
      slow++;
      await gate.promise;
    });
  }
  await until('they are tried again', () => slow >= 12);
  let records = 0;
  for (let index = 0; index < 5; index++) writes.put('record', `right ${index}`, async () => void records++);
  await until('others are written', () => records === 5);
  equal(slow, 12);
});

for (const kind of ['record', 'event'] as const)
  test(`statuses are written even if no ${kind} is answered`, async (t) => {
    const writes = writing(t, 10);
    const gate = Promise.withResolvers<void>();
    t.after(() => gate.resolve());
    for (let index = 0; index < 2 * mostInFlight; index++)
      writes.put(kind, `slow ${index}`, () => gate.promise);
    let statuses = 0;
    for (let index = 0; index < 5; index++) writes.put('status', `${index}`, async () => void statuses++);
    await until('they are written', () => statuses === 5);
    equal(writes.waiting, 2 * mostInFlight);
  });

test('a failed Event that is dropped leaves its place to the others', async (t) => {
  const stopping = new AbortController();
  t.after(() => stopping.abort());
  const state = { mayWrite: true, inFlight: 0 };
  const writes = new Writes({
    signal: stopping.signal,
    random: () => 0,
    restMs: 20,
    mayWrite: () => state.mayWrite,
    onRefused: () => undefined,
  });
  writes.put('event', 'wrong', async () => {
    throw answer(500);
  });
  await turn();
  state.mayWrite = false;
  const gate = Promise.withResolvers<void>();
  t.after(() => gate.resolve());
  for (let index = 0; index < 5000; index++)
    writes.put('event', `right ${index}`, async () => {
      state.inFlight++;
      await gate.promise;
    });
  await until('it is dropped', () => writes.dropped === 1);
  state.mayWrite = true;
  writes.wake();
  equal(state.inFlight, mostBeside);
});

for (const code of [403, 404, 422]) {
  test(`after a ${code} a key is not retried for its rest, and then the latest write is done`, async (t) => {
    const resting = writing(t, 60_000);
    let tries = 0;
    const fails = async () => {
      tries++;
      throw answer(code);
    };
    resting.put('record', 'a', fails);
    await until('it was tried', () => tries === 1);
    await turn();
    for (let round = 0; round < 100; round++) resting.put('record', 'a', fails);
    deepEqual([tries, resting.waiting], [1, 1]);
    resting.drop('record', 'a');
    resting.put('record', 'a', fails);
    equal(tries, 2);

    const writes = writing(t, 20);
    const written: number[] = [];
    writes.put('record', 'a', fails);
    await until('it was tried', () => tries === 3);
    await turn();
    for (const value of [1, 2, 3]) writes.put('record', 'a', async () => void written.push(value));
    await until('it is written', () => written.length > 0);
    deepEqual([written, writes.waiting, writes.refused.size], [[3], 0, 0]);
  });
}

test('a kind whose writes all fail is retried little by little, and does not hold up another', async (t) => {
  const writes = writing(t, 60_000);
  let tries = 0;
  for (let index = 0; index < 500; index++)
    writes.put('status', `a${index}`, async () => {
      tries++;
      throw answer(404);
    });
  for (let round = 0; round < 5; round++) await turn();
  let records = 0;
  writes.put('record', 'right', async () => void records++);
  await until('the other is written', () => records === 1);
  ok(tries < 300, String(tries));
  // No write is forgotten.
  await until('more are tried', () => tries > 60);
});

for (const code of [403, 500]) {
  test(`after failures with ${code}, new writes of the kind go before the failed ones`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const writes = writing(t, 1000);
    const order: string[] = [];
    const put = (name: string, isWrong: boolean) =>
      writes.put('status', name, async () => {
        order.push(name);
        if (isWrong) throw answer(code);
      });
    for (let index = 0; index < 100; index++) put(`wrong ${index}`, true);
    for (let round = 0; new Set(order).size < 100; round++) {
      ok(round < 1000);
      t.mock.timers.tick(500);
      await turn();
    }
    const tried = order.length;
    for (let index = 0; index < 40; index++) put(`right ${index}`, false);
    for (let round = 0; !order.includes('right 39'); round++) {
      ok(round < 1000);
      t.mock.timers.tick(500);
      await turn();
    }
    const late = order.slice(tried);
    ok(late.indexOf('right 0') < 16, String(late));
    ok(late.indexOf('right 39') < 100, String(late));
  });
}

test('VirtualIPs are not written until the records are listed', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const stopping = new AbortController();
  t.after(() => stopping.abort());
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1 },
    pools: parsePools(['p=10.77.0.0/24']),
    filterByDefault: true,
    nowMs: () => 0,
    onChange: () => undefined,
  });
  controller.publish({ set: readDocument(serviceObject('web')).services, remove: [] });
  const state = { isListed: false, puts: 0 };
  const writes = { put: () => void state.puts++, drop: () => undefined } as unknown as Writes;
  new VirtualIpWriter({
    controller,
    writes,
    uidOf: () => '',
    say: () => undefined,
    isListed: () => state.isListed,
    client: null as never,
    signal: stopping.signal,
  });
  const look = () => {
    t.mock.timers.tick(1000);
    t.mock.timers.tick(1000);
    return state.puts > 0;
  };
  equal(look(), false);
  state.isListed = true;
  equal(look(), true);
});
