// When an agent takes its controller for lost: after silence, and not because it was itself held up.
import { deepEqual } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Heartbeat } from '../../../src/agent/stream/heartbeat.ts';

/** A heartbeat on the clock of the test, and what it did, with the time. */
function heartOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let nowMs = 0;
  const did: string[] = [];
  const heart = new Heartbeat({
    now: () => nowMs,
    tick: () => did.push(`tick ${nowMs}`),
    lost: () => did.push(`lost ${nowMs}`),
    openFor: (ms) => did.push(`open for ${ms}`),
  });
  /** The process runs, or is held up: then its timer fires once, late. */
  const pass = (ms: number, isHeldUp = false) => {
    nowMs += ms;
    t.mock.timers.tick(isHeldUp ? 1000 : ms);
  };
  return { heart, did, pass };
}

test('a controller that is silent for 3.5 s is lost, and each second has a tick until then', (t) => {
  const { did, pass } = heartOf(t);
  for (let second = 1; second <= 4; second++) pass(1000);
  deepEqual(
    did.filter((what) => !what.startsWith('open')),
    ['tick 1000', 'tick 2000', 'tick 3000', 'lost 4000'],
  );
});

test('any frame keeps the controller from being lost', (t) => {
  const { heart, did, pass } = heartOf(t);
  for (let second = 1; second <= 20; second++) {
    if (second % 3 === 0) heart.heard();
    pass(1000);
  }
  deepEqual(
    did.filter((what) => what.startsWith('lost')),
    [],
  );
});

test('silence while the agent itself was held up proves nothing', (t) => {
  const { heart, did, pass } = heartOf(t);
  pass(10_000, true);
  deepEqual(did, ['tick 10000']);
  heart.heard();
  pass(1000);
  deepEqual(did.slice(1), ['open for 11000', 'tick 11000']);
  heart.stop();
  pass(1000);
  deepEqual(did.length, 3);
});
