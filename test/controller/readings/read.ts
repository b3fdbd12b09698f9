// Readings over a controller without a source: the test says what the source has, and what time it is.

import { ok } from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Allocations } from '../../../src/controller/allocate.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import { Controller } from '../../../src/controller/controller.ts';
import type { MassRemoval } from '../../../src/controller/readings/mass-removal.ts';
import { Readings } from '../../../src/controller/readings/readings.ts';
import { noRecords } from '../../../src/controller/records/records.ts';
import type { ServiceManifest } from '../../../src/controller/service.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { type ServiceText, serviceObject } from '../fixture.ts';

export const massRemovalWaitMs = 30_000;
export const keyOf = (index: number): ServiceKey => `demo/s${index}` as ServiceKey;

function manifest(name: string, text: ServiceText): ServiceManifest {
  const [service] = readDocument(serviceObject(name, text)).services;
  ok(service !== undefined);
  return service;
}

export interface Read {
  readonly controller: Controller;
  readonly readings: Readings;
  readonly truth: {
    readonly services: Map<ServiceKey, ServiceManifest>;
    readonly invalid: Map<ServiceKey, string>;
  };
  /** What was called, and how often. */
  readonly did: { readAgain: number; published: number; readonly told: (MassRemoval | null)[] };
  readonly state: { nowMs: number; mayBelieve: boolean; onReadAgain: () => void };
  /** From now on the source has these Services, and no others. */
  become(names: readonly string[], text?: ServiceText, isComplete?: boolean): void;
}

/** Readings of a source that the test changes, with recorded addresses. */
export function readingsOf(allocations: Allocations = new Map()): Read {
  const did: Read['did'] = { readAgain: 0, published: 0, told: [] };
  const state: Read['state'] = { nowMs: 0, mayBelieve: true, onReadAgain: () => undefined };
  const controller = new Controller({
    records: { ...noRecords, cluster: 'c', generation: 1, allocations },
    pools: parsePools(['p=10.77.0.100-10.77.0.199']),
    filterByDefault: true,
    nowMs: () => state.nowMs,
    onChange: () => undefined,
  });
  const truth: Read['truth'] = { services: new Map(), invalid: new Map() };
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
  const become: Read['become'] = (names, text = {}, isComplete = true) => {
    const set = names.map((name) => manifest(name, text));
    const remove = [...truth.services.keys()].filter((key) => set.every((one) => one.key !== key));
    for (const key of remove) truth.services.delete(key);
    for (const one of set) truth.services.set(one.key, one);
    readings.follow({ set, remove }, isComplete);
  };
  return { controller, readings, truth, did, state, become };
}

export const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `s${index}`);

/** The clock stands still; the function lets some time pass. */
export function startClock(t: TestContext): (read: Read, ms: number) => Promise<void> {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  return async ({ state }, ms) => {
    state.nowMs += ms;
    t.mock.timers.tick(ms);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
  };
}
