// How often commits are allowed, on a fake clock.
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

test('three commits may start at once, and the fourth waits for the rest of the interval', () => {
  const { now, pass } = clock();
  const pace = new Pace(250, now);
  deepEqual([pace.take(), pace.take(), pace.take(), pace.take()], [0, 0, 0, 250]);
  pass(100);
  equal(pace.take(), 150);
  pass(150);
  deepEqual([pace.take(), pace.take()], [0, 250]);
  // What is left of an interval counts for the next one.
  pass(375);
  deepEqual([pace.take(), pace.take()], [0, 125]);
});

test('another interval holds from the next commit on', () => {
  const { now, pass } = clock();
  const pace = new Pace(250, now);
  for (let n = 0; n < 3; n++) pace.take();
  pace.intervalMs = 3000;
  equal(pace.intervalMs, 3000);
  pass(250);
  equal(pace.take(), 2750);
});

test('after any idle time three commits may start at once again, and no more', () => {
  const { now, pass } = clock();
  const pace = new Pace(250, now);
  for (let n = 0; n < 3; n++) pace.take();
  pass(3_600_000);
  deepEqual([pace.take(), pace.take(), pace.take(), pace.take()], [0, 0, 0, 250]);
});

test('in any period there are at most three commits more than intervals', () => {
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

test('a commit may start after the wait that take() has returned', () => {
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
          // A sum of fractions may be too small by this.
          pass(waitMs + 1e-6);
          equal(pace.take(), 0);
        }
        equal(waits, rounds - 2);
      },
    ),
  );
});

test('with an interval of 0 no commit waits', () => {
  const pace = new Pace(0, () => 0);
  for (let n = 0; n < 1000; n++) equal(pace.take(), 0);
});

test('the commit interval grows with the number of foreign rules', () => {
  deepEqual([0, 2500, 30_000].map(commitIntervalMs), [250, 250, 3000]);
});
