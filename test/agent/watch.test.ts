// How often foreign rules are counted: the longer a count takes the less often, except for a single count
// that was held up.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Pace } from '../../src/agent/pace.ts';
import { watchForeignRules } from '../../src/agent/watch.ts';

const heldUpMs = 100;

/** Lets up to 200 seconds pass, each after a commit, and returns how many counts there were. */
async function countsOf(t: TestContext, isHeldUp: (count: number) => boolean, most: number): Promise<number> {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let [counts, commits, nowMs] = [0, 0, 0];
  t.mock.method(performance, 'now', () => nowMs);
  const ask = async (): Promise<Uint8Array> => {
    if (isHeldUp(++counts)) nowMs += heldUpMs;
    return new Uint8Array();
  };
  const pace = new Pace(0, () => performance.now());
  using _ = await watchForeignRules({ ask } as never, pace, () => commits);
  for (let second = 0; second < 200 && counts < most; second++) {
    commits++;
    t.mock.timers.tick(1000);
    await turn();
    nowMs += 10;
  }
  return counts;
}

test('a single slow count of foreign rules does not delay the next counts', async (t) => {
  assert.equal(await countsOf(t, (count) => count === 2, 6), 6);
});

test('a slow first count of foreign rules does not delay the next counts', async (t) => {
  assert.equal(await countsOf(t, (count) => count === 1, 6), 6);
});

test('foreign rules are counted less often if every count is slow', async (t) => {
  assert.equal(await countsOf(t, () => true, 6), 2);
});
