// The sum of counters that are added, removed and reset from outside, and what counts as drift.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Tallies, Total } from '../../src/agent/tallies.ts';

test('the sum of counters never falls, whether a counter is removed, added or reset', () => {
  const total = new Total<string>();
  const after = (counters: Readonly<Record<string, number>>): number => {
    total.follow(new Map(Object.entries(counters)));
    return total.sum;
  };
  equal(after({ a: 5, b: 2 }), 7);
  equal(after({ a: 6, b: 2 }), 8);
  equal(after({ b: 2 }), 8, 'a removed counter stays in the sum');
  equal(after({ a: 1, b: 2 }), 9, 'a counter that comes back counts from 0');
  equal(after({ a: 1, b: 1 }), 10, 'a counter that has fallen was reset');
});

test('every kind of drift is counted from 0, and what a start or other options add is none', () => {
  const tallies = new Tallies();
  const kinds = ['address', 'events-lost', 'link', 'network', 'refused', 'rules', 'trouble'];
  deepEqual(
    [...tallies.repairs],
    kinds.map((kind) => [kind, 0]),
  );
  for (const kind of [...kinds, 'rules', 'start', 'first-sync', 'config']) tallies.repair(kind, 3);
  deepEqual(
    [...tallies.repairs],
    kinds.map((kind) => [kind, kind === 'rules' ? 6 : 3]),
  );
});

test('latencies are counted from 50 us on, and up to ten seconds', () => {
  const { commit, update } = new Tallies();
  for (const histogram of [commit, update]) {
    const bounds = [...histogram.text('name', 'help').matchAll(/le="(.*)"/g)].map(([, bound]) => bound);
    deepEqual([bounds.length, bounds[0], ...bounds.slice(-2)], [14, '0.00005', '10', '+Inf']);
  }
});
