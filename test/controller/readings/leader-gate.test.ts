// While the Lease is not held, the controller assigns and removes nothing.

import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../src/controller/controller.ts';
import { LeaderGate } from '../../../src/controller/readings/leader-gate.ts';
import { Readings } from '../../../src/controller/readings/readings.ts';
import { noRecords } from '../../../src/controller/records/records.ts';
import { Catalog } from '../../../src/controller/sources/catalog.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { untilTrue } from '../../patience.ts';
import { serviceObject } from '../fixture.ts';

const nothing = { set: [], remove: [] };
const massRemovalWaitMs = 20;

/** A controller that has read `count` Services, and rules while `lease.isHeld`. */
function ruling(t: TestContext, count: number, isComplete = true, isOpen = true) {
  const lease = { isHeld: true };
  const [quiet, nowMs] = [() => undefined, () => performance.now()];
  const pools = parsePools(['p=10.77.0.100-10.77.9.199']);
  const controller = new Controller({
    records: noRecords,
    pools,
    filterByDefault: true,
    onChange: quiet,
    nowMs,
  });
  const catalog = new Catalog();
  const read = (total: number) => {
    const names = Array.from({ length: total }, (_, index) => `s${index}`);
    return catalog.update(
      'all',
      names.map((name) => readDocument(serviceObject(name))),
    );
  };
  const mayRule = () => lease.isHeld;
  const readings = new Readings({
    controller,
    truth: catalog,
    massRemoval: 'wait',
    massRemovalWaitMs,
    mayBelieve: mayRule,
    nowMs,
    readAgain: async () => undefined,
    onPublished: quiet,
    onMassRemoval: quiet,
  });
  t.after(() => readings.dispose());
  const source = { catalog, cluster: 'c' as string | null, isComplete };
  const { cluster: _, generation: __, ...remembered } = noRecords;
  const gate = new LeaderGate({ controller, source, readings, mayRule, remembered: () => remembered });
  read(count);
  if (isOpen) gate.open(1);
  return { controller, readings, gate, lease, read, source };
}

const s0 = 'demo/s0' as ServiceKey;

test('a controller rules once the cluster was read completely, and goes on if a part cannot be read', (t) => {
  const { controller, gate, read, source } = ruling(t, 1, false);
  gate.follow(read(2));
  deepEqual([controller.cluster, controller.allocator.services.size], ['', 0]);
  source.isComplete = true;
  gate.follow(nothing);
  deepEqual([controller.cluster, controller.rules.size], ['c', 2]);
  source.isComplete = false;
  gate.follow(read(3));
  equal(controller.rules.size, 3);
});

test('a controller rules once the Lease is held and the name of the cluster is known', (t) => {
  const { controller, gate, lease, source } = ruling(t, 1, true, false);
  const cluster = () => controller.cluster;
  gate.follow(nothing);
  equal(cluster(), '');
  lease.isHeld = false;
  gate.open(7);
  equal(cluster(), '');
  source.cluster = null;
  lease.isHeld = true;
  gate.follow(nothing);
  equal(cluster(), '');
  source.cluster = 'c';
  gate.follow(nothing);
  deepEqual([cluster(), controller.generation, controller.rules.size], ['c', 7, 1]);
});

test('what changed while the Lease was lost is applied once it is held again', async (t) => {
  const { controller, gate, lease, read } = ruling(t, 2);
  lease.isHeld = false;
  gate.follow(read(3));
  equal(controller.rules.size, 2);
  lease.isHeld = true;
  gate.follow(nothing);
  equal(controller.rules.size, 3);
  gate.usePools(parsePools(['q=10.88.0.1-10.88.0.9']));
  await nextTurn();
  deepEqual(controller.allocator.addressesOf(s0), ['10.88.0.1']);
});

test('new pools take no address from a Service before the Lease is held again', async (t) => {
  const { controller, gate, lease } = ruling(t, 1);
  lease.isHeld = false;
  gate.usePools(parsePools(['q=10.88.0.1']));
  deepEqual(controller.allocator.addressesOf(s0), ['10.77.0.100']);
  lease.isHeld = true;
  gate.follow(nothing);
  await untilTrue(() => controller.allocator.addressesOf(s0)[0] !== '10.77.0.100');
  deepEqual(controller.allocator.addressesOf(s0), ['10.88.0.1']);
});

test('a mass removal that was seen twice is not accepted before the Lease is held again', async (t) => {
  const { controller, readings, gate, lease, read } = ruling(t, 20);
  gate.follow(read(0));
  equal(readings.massRemoval?.vips, 20);
  lease.isHeld = false;
  readings.mode = 'now';
  await sleep(5 * massRemovalWaitMs);
  equal(controller.rules.size, 20);
  lease.isHeld = true;
  await untilTrue(() => controller.rules.size === 0);
  equal(readings.massRemoval, null);
});

test('a Service that was deleted while the Lease was lost gets no address of new pools', async (t) => {
  const { controller, gate, lease, read } = ruling(t, 3);
  lease.isHeld = false;
  gate.usePools(parsePools(['q=10.88.0.1-10.88.0.9']));
  gate.follow(read(1));
  lease.isHeld = true;
  gate.follow(nothing);
  await nextTurn();
  deepEqual([...controller.allocator.services.keys()], [s0]);
  deepEqual([...controller.rules.keys()], ['10.88.0.1']);
});

/** So many that they are applied in several turns of the event loop. */
const many = 1500;

test('a first reading whose turns outlast the Lease is published once it is held again', async (t) => {
  const { controller, gate, lease } = ruling(t, many);
  lease.isHeld = false;
  for (let turn = 0; turn < 1000; turn++) await nextTurn();
  deepEqual([controller.rules.size, controller.isPublished], [many, false]);
  lease.isHeld = true;
  gate.follow(nothing);
  await untilTrue(() => controller.isPublished);
  equal(controller.rules.size, many);
});

test('readings and new pools that arrive during a large change wait for the Lease too', async (t) => {
  const { controller, gate, lease, read } = ruling(t, 1);
  gate.follow(read(many));
  gate.follow(read(many + 1));
  gate.usePools(parsePools(['q=10.88.0.0-10.88.9.199']));
  lease.isHeld = false;
  for (let turn = 0; turn < 1000; turn++) await nextTurn();
  deepEqual(controller.allocator.addressesOf(s0), ['10.77.0.100']);
  equal(controller.allocator.services.size, many);
  lease.isHeld = true;
  gate.follow(nothing);
  await untilTrue(() => controller.allocator.services.size !== many);
  await untilTrue(() => controller.allocator.addressesOf(s0)[0] !== '10.77.0.100');
});
