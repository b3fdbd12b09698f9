// Counters that others make, take away and begin anew, as one sum.
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Total } from '../../src/agent/tallies.ts';

test('a sum of counters never falls, whether one goes, comes or begins anew', () => {
  const total = new Total<string>();
  const after = (counters: Readonly<Record<string, number>>): number => {
    total.follow(new Map(Object.entries(counters)));
    return total.sum;
  };
  equal(after({ a: 5, b: 2 }), 7);
  equal(after({ a: 6, b: 2 }), 8);
  equal(after({ b: 2 }), 8, 'one that goes takes nothing with it');
  equal(after({ a: 1, b: 2 }), 9, 'one that comes back counts from nothing');
  equal(after({ a: 1, b: 1 }), 10, 'one that says less than before was made anew');
});
