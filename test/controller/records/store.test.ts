// The records are written in the background, and read completely or not at all.

import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Records,
  readRecords,
  StateError,
  stateFile,
  writeRecords,
} from '../../../src/controller/records/records.ts';
import { Store } from '../../../src/controller/records/store.ts';
import type { Address } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { folder, runningController, service, untilStatus } from '../fixture.ts';

const limit = { timeout: 60_000 };

function recordsOf(count: number): Records {
  const indexes = Array.from({ length: count }, (_, index) => index);
  const address = (index: number) => `10.0.${index >> 8}.${index & 255}` as Address;
  return {
    cluster: 'a cluster',
    generation: 7,
    allocations: new Map(indexes.map((index) => [`demo/s${index}` as ServiceKey, [address(index)]])),
    former: new Map([['demo/wrong' as ServiceKey, ['10.1.0.1' as Address]]]),
    owners: new Map(
      indexes.map((index) => [address(index), { node: 'n1', term: { generation: 7, n: index } }]),
    ),
    unheld: new Set(count > 0 ? [address(0)] : []),
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

test('records without former or unheld addresses are read as having none', async (t) => {
  const dir = folder(t);
  await writeRecords(dir, recordsOf(1));
  const text = readFileSync(stateFile(dir), 'utf8');
  writeFileSync(stateFile(dir), text.replace(/"former":\{[^}]*\},/, ''));
  deepEqual(await readRecords(dir), { ...recordsOf(1), former: new Map() });
  writeFileSync(stateFile(dir), text.replace(/"unheld":\[[^\]]*\],/, ''));
  deepEqual(await readRecords(dir), { ...recordsOf(1), unheld: new Set() });
});

test('each new folder is a new cluster', async (t) => {
  const [one, two] = [await readRecords(folder(t)), await readRecords(folder(t))];
  equal(one.generation, 0);
  equal(one.cluster === two.cluster, false);
});

test('damaged records are an error, and are not taken for empty ones', async (t) => {
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

test('a change during a write is written after it', async (t) => {
  const dir = folder(t);
  let records = recordsOf(3000);
  const store = new Store({
    dir,
    records: () => records,
    onTrouble: (error) => t.assert.fail(String(error)),
  });
  store.touch();
  const flushed = store.flush();
  records = { ...recordsOf(1), generation: 8 };
  store.touch();
  await flushed;
  await store.flush();
  equal((await readRecords(dir)).generation, 8);
});

test('a full disk is reported once, and the records are written when it has room', async (t) => {
  const dir = folder(t);
  symlinkSync('/dev/full', `${stateFile(dir)}.new`);
  const troubles: (StateError | null)[] = [];
  const onTrouble = (error: StateError | null) => troubles.push(error);
  const store = new Store({ dir, records: () => recordsOf(1), onTrouble });
  store.touch();
  await store.flush();
  await store.flush();
  equal(troubles.length, 1);
  match(String(store.trouble?.message), /controller\.json: ENOSPC.*; give --state a folder/);
  rmSync(`${stateFile(dir)}.new`);
  await store.flush();
  deepEqual([troubles.length, store.trouble], [2, null]);
  deepEqual(await readRecords(dir), recordsOf(1));
});

test('a --state folder that cannot be made is an error with the remedy', limit, async () => {
  await rejects(writeRecords('/proc/vipward/state', recordsOf(1)), /ENOENT.*; give --state a folder/);
});

test('a controller with a full disk goes on serving, and its status says so', limit, async (t) => {
  const running = await runningController(t, { files: { 'a.yaml': service('web') } });
  const written = stateFile(running.stateDir);
  symlinkSync('/dev/full', `${written}.new`);
  running.write('b.yaml', service('api'));
  await untilStatus(running, ({ vips, problems }) => vips.length === 2 && problems.length === 1);
  const [problem] = running.status().problems;
  equal(problem?.file, written);
  match(problem?.message ?? '', /ENOSPC/);
  equal(running.status().synced, true);
});

test('a controller does not start on records that it cannot read, and leaves them unchanged', async (t) => {
  const stateDir = folder(t);
  await writeRecords(stateDir, recordsOf(1));
  const good = readFileSync(stateFile(stateDir), 'utf8');
  for (const [bad, why] of [
    [good.slice(0, good.length / 2), /JSON/],
    ['\0\x01garbage', /JSON/],
    [good.replace('"layout":1', '"layout":2'), /layout 2 is not 1/],
  ] as const) {
    writeFileSync(stateFile(stateDir), bad);
    await rejects(runningController(t, { stateDir }), (error: Error) => {
      match(error.message, why);
      match(error.message, /restore it from a backup/);
      return error instanceof StateError;
    });
    equal(readFileSync(stateFile(stateDir), 'utf8'), bad);
  }
});

test(
  'Services keep their addresses over a restart, even if others come and go meanwhile',
  limit,
  async (t) => {
    const files = { 'b.yaml': service('b'), 'c.yaml': service('c') };
    const one = await runningController(t, { files: { ...files, 'a.yaml': service('a') } });
    await untilStatus(one, ({ synced }) => synced);
    const addressesOf = (running: typeof one) =>
      Object.fromEntries(
        running.status().vips.flatMap(({ address, services }) => services.map(({ key }) => [key, address])),
      );
    const before = addressesOf(one);
    await one.stop();
    const { services, stateDir } = one;
    rmSync(join(services, 'a.yaml'));
    writeFileSync(join(services, '0.yaml'), service('0'));
    const two = await runningController(t, { services, stateDir });
    await untilStatus(two, ({ synced }) => synced);
    const after = addressesOf(two);
    equal(after['demo/b'], before['demo/b']);
    equal(after['demo/c'], before['demo/c']);
    deepEqual(Object.keys(after).sort(), ['demo/0', 'demo/b', 'demo/c']);
  },
);
