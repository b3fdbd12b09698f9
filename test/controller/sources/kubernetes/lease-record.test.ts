// Who rules, by the Lease alone: nobody by two clocks, nobody by a generation that somebody else has.
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
  ...{ identity: 'c1', address: '10.0.0.1:9470', durationMs: 4000 },
  ...{ generation: null, known: 0 },
};
const record = (changes: Partial<LeaseRecord> = {}): LeaseRecord => ({
  ...{ holder: 'c2', generation: 7, durationMs: 4000, renewTime: '', address: null },
  ...{ uid: 'u', resourceVersion: '1' },
  ...changes,
});
const seen = (changes: Partial<LeaseRecord> = {}) => ({ record: record(changes), sinceMs: 1000 });

test('a Lease is waited for until it has not changed for its own duration, by our clock', () => {
  deepEqual(nextStep(seen(), self, 4999), { kind: 'wait' });
  deepEqual(nextStep(seen(), self, 5000), { kind: 'take', generation: 8 });
  deepEqual(nextStep(seen({ durationMs: 60_000 }), self, 5000), { kind: 'wait' });
  const again = seeLease(seen(), record(), 3000);
  equal(again.sinceMs, 1000);
  equal(seeLease(again, record({ resourceVersion: '2' }), 3000).sinceMs, 3000);
});

test('a Lease that nobody holds, that is not there, or is of our own name is taken at once', () => {
  deepEqual(nextStep(null, self, 0), { kind: 'take', generation: 1 });
  deepEqual(nextStep(seen({ holder: '' }), self, 1000), { kind: 'take', generation: 8 });
  deepEqual(nextStep(seen({ holder: 'c1' }), self, 1000), { kind: 'take', generation: 8 });
});

test('whoever takes a Lease is above every generation that was read in it, deleted or restored', () => {
  const before = { ...self, known: 7 };
  deepEqual(nextStep(null, before, 0), { kind: 'take', generation: 8 });
  deepEqual(nextStep(seen({ holder: '', generation: 3 }), before, 1000), { kind: 'take', generation: 8 });
});

test('a holder goes on while the Lease is its own, and is deposed by any other generation', () => {
  const holder = { ...self, generation: 7 };
  deepEqual(nextStep(seen({ holder: 'c1' }), holder, 9000), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(seen({ holder: 'c1', generation: 3 }), holder, 0), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(null, holder, 0), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(seen({ generation: 8 }), holder, 0), { kind: 'deposed' });
  deepEqual(nextStep(seen({ holder: 'c1', generation: 8 }), holder, 0), { kind: 'deposed' });
  deepEqual(nextStep(seen({ holder: '', generation: 8 }), holder, 0), { kind: 'deposed' });
});

test('a holder goes on where an older Lease has come back with a backup, whoever held it', () => {
  const holder = { ...self, generation: 7 };
  deepEqual(nextStep(seen({ generation: 6 }), holder, 0), { kind: 'renew', generation: 7 });
  deepEqual(nextStep(seen({ generation: 6, holder: '' }), holder, 0), { kind: 'renew', generation: 7 });
});

test('a Lease that is older than it was came back with a backup, and one of a new holder did not', () => {
  const at = (second: number, changes: Partial<LeaseRecord> = {}) =>
    record({ renewTime: `2026-11-28T06:00:${second}.000000Z`, ...changes });
  ok(wentBack(at(20), at(18)));
  ok(wentBack(at(20), at(30, { generation: 6 })), 'whenever it was renewed');
  ok(!wentBack(at(20), at(20)));
  ok(!wentBack(at(20), at(22)));
  ok(!wentBack(at(20), at(18, { holder: 'c1', generation: 8 })), 'its clock is behind');
  ok(!wentBack(at(20), at(18, { holder: '' })), 'it was given away');
  ok(!wentBack(record(), record({ resourceVersion: '2' })), 'it was never renewed');
});

test('whoever takes the Lease rules by a generation above every one before', () => {
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

test('the Lease that is written reads as what was meant, in times the API server takes', () => {
  const text = { ...{ namespace: 'ns', name: 'l', self, generation: 8 }, wallMs: 1e12, takenWallMs: 1e12 };
  const read = readLease(leaseObject({ ...text, before: { uid: 'u', resourceVersion: '5' } }));
  deepEqual(read, {
    ...{ holder: 'c1', generation: 8, durationMs: 4000, address: '10.0.0.1:9470' },
    ...{ uid: 'u', resourceVersion: '5' },
    renewTime: microTime(1e12),
  });
  match(microTime(1e12), /^2001-09-09T01:46:40\.000000Z$/);
  const { spec } = leaseObject({ ...text, self: { ...self, durationMs: 2500 }, before: null }) as {
    spec: { leaseDurationSeconds: number };
  };
  equal(spec.leaseDurationSeconds, 3);
  equal(readLease({ metadata: {}, spec: {} }).holder, '');
});
