// The records: what is written is read, whole or not at all, and in the background.

import { deepEqual, equal, rejects } from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type Records,
  readRecords,
  StateError,
  Store,
  stateFile,
  writeRecords,
} from '../../src/controller/store.ts';
import type { Address } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import { folder } from './fixture.ts';

function recordsOf(count: number): Records {
  const indexes = Array.from({ length: count }, (_, index) => index);
  const address = (index: number) => `10.0.${index >> 8}.${index & 255}` as Address;
  return {
    cluster: 'a cluster',
    generation: 7,
    allocations: new Map(indexes.map((index) => [`demo/s${index}` as ServiceKey, [address(index)]])),
    owners: new Map(
      indexes.map((index) => [address(index), { node: 'n1', term: { generation: 7, n: index } }]),
    ),
    drained: ['n2'],
  };
}

test('records of any size are read as they were written', async (t) => {
  for (const count of [0, 1, 2000, 4001]) {
    const dir = folder(t);
    await writeRecords(dir, recordsOf(count));
    deepEqual(await readRecords(dir), recordsOf(count));
    deepEqual(readdirSync(dir), ['controller.json']);
  }
});

test('a new folder is a new cluster, and two of them are two', async (t) => {
  const [one, two] = [await readRecords(folder(t)), await readRecords(folder(t))];
  equal(one.generation, 0);
  equal(one.cluster === two.cluster, false);
});

test('whatever is wrong with the records, they are not taken for empty ones', async (t) => {
  const dir = folder(t);
  await writeRecords(dir, recordsOf(1));
  const good = readFileSync(stateFile(dir), 'utf8');
  for (const bad of [
    good.slice(0, -9),
    good.replace('10.0.0.0', '10.0.0'),
    good.replace('"n":0', '"n":-1'),
    good.replace('demo/s0', 'demo'),
    '[]',
    'null',
  ]) {
    writeFileSync(stateFile(dir), bad);
    await rejects(readRecords(dir), StateError);
  }
});

test('changes that come while records are written are written after them', async (t) => {
  const dir = folder(t);
  let records = recordsOf(3000);
  const store = new Store({ dir, records: () => records, onError: (error) => t.assert.fail(String(error)) });
  store.touch();
  const flushed = store.flush();
  records = { ...recordsOf(1), generation: 8 };
  store.touch();
  await flushed;
  await store.flush();
  equal((await readRecords(dir)).generation, 8);
});

test('a disk that cannot be written is reported, and stops nothing', async () => {
  const errors: unknown[] = [];
  const store = new Store({
    dir: '/proc/vipward',
    records: () => recordsOf(1),
    onError: (error) => errors.push(error),
  });
  store.touch();
  await store.flush();
  equal(errors.length, 1);
});
