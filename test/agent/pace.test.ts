// How often commits are allowed, on a clock of our own.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { commitIntervalMs, Pace } from '../../src/agent/pace.ts';

function clock(): { now: () => number; pass: (ms: number) => void } {
  let ms = 1000;
  return {
    now: () => ms,
    pass: (more) => {
      ms += more;
    },
  };
}

test('three commits go at once, the fourth waits for the rest of an interval', () => {
  const { now, pass } = clock();
  const pace = new Pace(250, now);
  deepEqual([pace.take(), pace.take(), pace.take(), pace.take()], [0, 0, 0, 250]);
  pass(100);
  equal(pace.take(), 150);
  pass(150);
  deepEqual([pace.take(), pace.take()], [0, 250]);
});

test('a rest of any length gives three at once again, and no more', () => {
  const { now, pass } = clock();
  const pace = new Pace(250, now);
  for (let n = 0; n < 3; n++) pace.take();
  pass(3_600_000);
  deepEqual([pace.take(), pace.take(), pace.take(), pace.take()], [0, 0, 0, 250]);
});

test('in any stretch of time there are no more commits than intervals and three', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 });
  fc.assert(
    fc.property(steps, (waits) => {
      const { now, pass } = clock();
      const pace = new Pace(250, now);
      const taken: number[] = [];
      for (const wait of waits) {
        pass(wait);
        if (pace.take() === 0) taken.push(now());
      }
      for (const [first, from] of taken.entries()) {
        for (let last = first; last < taken.length; last++) {
          ok(last - first + 1 <= 3 + Math.ceil(((taken[last] ?? 0) - from + 1) / 250));
        }
      }
    }),
  );
});

test('who waits as long as was said is served', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1, max: 5000, noNaN: true }),
      fc.integer({ min: 3, max: 20 }),
      (ms, rounds) => {
        const { now, pass } = clock();
        const pace = new Pace(ms, now);
        let waits = 0;
        for (let n = 0; n <= rounds; n++) {
          const waitMs = pace.take();
          if (waitMs === 0) continue;
          waits++;
          // What a sum of fractions may lack.
          pass(waitMs + 1e-6);
          equal(pace.take(), 0);
        }
        equal(waits, rounds - 2);
      },
    ),
  );
});

test('an interval of 0 never waits', () => {
  const pace = new Pace(0, () => 0);
  for (let n = 0; n < 1000; n++) equal(pace.take(), 0);
});

test('the interval grows with the rules of others', () => {
  deepEqual([0, 2500, 30_000].map(commitIntervalMs), [250, 250, 3000]);
});
