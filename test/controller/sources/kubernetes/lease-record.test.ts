// Which controller rules, by the Lease alone: it uses one clock, and no two controllers have one generation.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type LeaseRecord,
  type LeaseSelf,
  leaseObject,
  microTime,
  nextStep,
  readLease,
  seeLease,
  wentBack,
} from '../../../../src/controller/sources/kubernetes/lease-record.ts';

const self: LeaseSelf = {
  identity: 'c1',
  address: '10.0.0.1:9470',
  durationMs: 4000,
  generation: null,
  known: 0,
};
const record = (changes: Partial<LeaseRecord> = {}): LeaseRecord => ({
  holder: 'c2',
  generation: 7,
  durationMs: 4000,
  renewTime: '',
  address: null,
  uid: 'u',
  resourceVersion: '1',
  ...changes,
});
const seen = (changes: Partial<LeaseRecord> = {}) => ({ record: record(changes), sinceMs: 1000 });

test('a Lease is taken once it has not changed for its own duration, by our clock', () => {
  deepEqual(nextStep(seen(), self, 4999), { kind: 'wait' });
  deepEqual(nextStep(seen(), self, 5000), { kind: 'take', generation: 8 });
  deepEqual(nextStep(seen({ durationMs: 60_000 }), self, 5000), { kind: 'wait' });
  const again = seeLease(seen(), record(), 3000);
  equal(again.sinceMs, 1000);
  equal(seeLease(again, record({ resourceVersion: '2' }), 3000).sinceMs, 3000);
});

test('a Lease that is missing, released or held under our own name is taken at once', () => {
  deepEqual(nextStep(null, self, 0), { kind: 'take', generation: 1 });
  deepEqual(nextStep(seen({ holder: '' }), self, 1000), { kind: 'take', generation: 8 });
  deepEqual(nextStep(seen({ holder: 'c1' }), self, 1000), { kind: 'take', generation: 8 });
});

test('a taker has a generation above every one that it has read, even after a deletion or restore', () => {
  const before = { ...self, known: 7 };
  deepEqual(nextStep(null, before, 0), { kind: 'take', generation: 8 });
  deepEqual(nextStep(seen({ holder: '', generation: 3 }), before, 1000), { kind: 'take', generation: 8 });
});

test('a holder renews while the Lease is its own or missing, and is deposed by a higher generation', () => {
  const holder = { ...self, generation: 7 };
  deepEqual(nextStep(seen({ holder: 'c1' }), holder, 9000), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(seen({ holder: 'c1', generation: 3 }), holder, 0), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(null, holder, 0), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(seen({ generation: 8 }), holder, 0), { kind: 'deposed' });
  deepEqual(nextStep(seen({ holder: 'c1', generation: 8 }), holder, 0), { kind: 'deposed' });
  deepEqual(nextStep(seen({ holder: '', generation: 8 }), holder, 0), { kind: 'deposed' });
});

test('a holder renews over an older Lease of a backup, whoever held that', () => {
  const holder = { ...self, generation: 7 };
  deepEqual(nextStep(seen({ generation: 6 }), holder, 0), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(seen({ generation: 6, holder: '' }), holder, 0), { kind: 'renew', generation: 7 });
});

test('an older generation or renewal time of the same holder shows a restored backup', () => {
  const at = (second: number, changes: Partial<LeaseRecord> = {}) =>
    record({ renewTime: `2026-11-28T06:00:${second}.000000Z`, ...changes });
  ok(wentBack(at(20), at(18)));
  ok(wentBack(at(20), at(30, { generation: 6 })), 'an older generation with a later renewal');
  ok(!wentBack(at(20), at(20)));
  ok(!wentBack(at(20), at(22)));
  ok(!wentBack(at(20), at(18, { holder: 'c1', generation: 8 })), 'a new holder whose clock is behind');
  ok(!wentBack(at(20), at(18, { holder: '' })), 'a released Lease');
  ok(!wentBack(record(), record({ resourceVersion: '2' })), 'a Lease that was never renewed');
});

test('each taker of the Lease rules with a generation above all before, in any sequence', () => {
  const identities = fc.constantFrom('c1', 'c2', 'c3');
  const moves = fc.array(fc.record({ identity: identities, restarts: fc.boolean(), waitMs: fc.nat(9000) }));
  fc.assert(
    fc.property(moves, (steps) => {
      const generations = new Map<string, number>();
      let lease: LeaseRecord | null = null;
      let [nowMs, changedMs, highest, version] = [0, 0, 0, 0];
      for (const { identity, restarts, waitMs } of steps) {
        nowMs += waitMs;
        if (restarts) generations.delete(identity);
        const state = lease === null ? null : { record: lease, sinceMs: changedMs };
        const me = { ...self, identity, generation: generations.get(identity) ?? null };
        const step = nextStep(state, me, nowMs);
        if (step.kind === 'deposed') generations.delete(identity);
        if (step.kind !== 'take' && step.kind !== 'renew') continue;
        if (step.kind === 'take') ok(step.generation > highest);
        highest = Math.max(highest, step.generation);
        generations.set(identity, step.generation);
        lease = record({ holder: identity, generation: step.generation, resourceVersion: String(++version) });
        changedMs = nowMs;
      }
    }),
  );
});

test('a written Lease reads back equal, with its duration in whole seconds', () => {
  const text = { namespace: 'ns', name: 'l', self, generation: 8, wallMs: 1e12, takenWallMs: 1e12 };
  const written = leaseObject({ ...text, before: { uid: 'u', resourceVersion: '5' } });
  const { metadata } = written as { metadata: { annotations: object } };
  deepEqual(metadata.annotations, { 'vipward.io/address': '10.0.0.1:9470' });
  const read = readLease(written);
  deepEqual(read, {
    holder: 'c1',
    generation: 8,
    durationMs: 4000,
    address: '10.0.0.1:9470',
    uid: 'u',
    resourceVersion: '5',
    renewTime: microTime(1e12),
  });
  match(microTime(1e12), /^2001-09-09T01:46:40\.000000Z$/);
  const { spec } = leaseObject({ ...text, self: { ...self, durationMs: 2500 }, before: null }) as {
    spec: { leaseDurationSeconds: number };
  };
  equal(spec.leaseDurationSeconds, 3);
  equal(readLease({ metadata: {}, spec: {} }).holder, '');
});
