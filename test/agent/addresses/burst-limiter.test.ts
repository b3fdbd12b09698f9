// How many frames are sent at once.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { BurstLimiter } from '../../../src/agent/addresses/burst-limiter.ts';
import { untilTrue } from '../../patience.ts';

test('one frame is sent at once, and many in bursts of at most 64, however they are added', async () => {
  const sent: number[] = [];
  const steps: number[] = [];
  let step = 0;
  using limiter = new BurstLimiter<number>((item) => {
    sent.push(item);
    if (++step > 1) return;
    // Between two timers, however late both are.
    queueMicrotask(() => {
      steps.push(step);
      step = 0;
    });
  });
  const all = Array.from({ length: 200 }, (_, index) => index);
  limiter.add([0]);
  deepEqual(sent, [0]);
  for (const item of all.slice(1)) limiter.add([item]);
  equal(sent.length, 64);
  await untilTrue(() => sent.length === all.length);
  deepEqual(sent, all);
  ok(
    steps.every((step) => step <= 64),
    `${steps}`,
  );
});

test('urgent frames are sent before waiting ones, in their own order', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sent: number[] = [];
  let now = 0;
  using limiter = new BurstLimiter<number>((item) => sent.push(item), { now: () => now });
  for (let item = 0; item < 128; item++) limiter.add([item]);
  for (const item of [-1, -2]) limiter.add([item], true);
  now += 5;
  t.mock.timers.tick(5);
  deepEqual(sent.slice(64, 68), [-1, -2, 64, 65]);
  equal(sent.length, 128);
  now += 5;
  t.mock.timers.tick(5);
  deepEqual(sent.slice(128), [126, 127]);
});

for (const { heldUpMs, made } of [
  { heldUpMs: 17, made: [1, 1, 1, 5, 5] },
  { heldUpMs: 1000, made: [1, 1, 1, 1, 1, 5, 5] },
]) {
  test(`after ${heldUpMs} ms without a send the missed bursts follow one per millisecond`, (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let now = 0;
    const sent: number[] = [];
    using limiter = new BurstLimiter<number>((item) => sent.push(item), { now: () => now });
    for (let item = 0; item < 1000; item++) limiter.add([item]);
    now += heldUpMs;
    t.mock.timers.tick(5);
    const gaps: number[] = [];
    for (let gap = 1, before = sent.length; gaps.length < made.length; gap++) {
      now++;
      t.mock.timers.tick(1);
      if (sent.length === before) continue;
      equal(sent.length - before, 64);
      gaps.push(gap);
      [gap, before] = [0, sent.length];
    }
    deepEqual(gaps, made);
  });
}
