// How often the rules of others are counted: the longer that takes the more seldom, but for one count that
// was held up.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Pace } from '../../src/agent/pace.ts';
import { watchForeignRules } from '../../src/agent/watch.ts';

const heldUpMs = 100;

/** Lets a second pass over and over, behind a commit each, and says how many counts there were. */
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

test('one count that is held up does not put off the next ones', async (t) => {
  assert.equal(await countsOf(t, (count) => count === 2, 6), 6);
});

test('nor does the first', async (t) => {
  assert.equal(await countsOf(t, (count) => count === 1, 6), 6);
});

test('where each takes long there are few', async (t) => {
  assert.equal(await countsOf(t, () => true, 6), 2);
});
