// Retries of a failing action.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../src/agent/backoff.ts';

test('waits double up to the limit, and begin anew after a success', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let tries = 0;
  using backoff = new Backoff({ firstMs: 100, limitMs: 300 }, () => tries++);
  const waited: number[] = [];
  for (const ms of [100, 200, 300, 300]) {
    backoff.wait();
    backoff.wait();
    t.mock.timers.tick(ms - 1);
    waited.push(tries);
    t.mock.timers.tick(1);
  }
  deepEqual([waited, tries], [[0, 1, 2, 3], 4]);
  backoff.wait();
  backoff.reset();
  t.mock.timers.tick(300);
  backoff.wait();
  t.mock.timers.tick(100);
  equal(tries, 5);
});

test('nothing is scheduled once it is disposed, whatever fails later', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let tries = 0;
  const backoff = new Backoff({ firstMs: 100, limitMs: 300 }, () => tries++);
  backoff.wait();
  backoff[Symbol.dispose]();
  backoff.wait();
  t.mock.timers.tick(1000);
  equal(tries, 0);
});
