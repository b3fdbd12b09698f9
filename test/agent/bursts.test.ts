// How many frames go out at once.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bursts } from '../../src/agent/bursts.ts';

test('one goes at once, and of many no more than 64 in one go, however they are added', async () => {
  const sent: number[] = [];
  using bursts = new Bursts<number>((item) => sent.push(item));
  const all = Array.from({ length: 200 }, (_, index) => index);
  bursts.add(0);
  deepEqual(sent, [0]);
  for (const item of all.slice(1)) bursts.add(item);
  equal(sent.length, 64);
  const steps: number[] = [];
  while (sent.length < all.length) {
    const before = sent.length;
    await sleep(1);
    if (sent.length > before) steps.push(sent.length - before);
  }
  deepEqual(sent, all);
  ok(
    steps.every((step) => step <= 64),
    `${steps}`,
  );
});
