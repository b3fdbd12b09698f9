// How the loop goes on after a failure, and how it looks for places.
import { deepEqual, equal } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Places } from '../../src/agent/addresses/places.ts';
import { LateRoom, open, recording, turns } from './late-room.ts';

/** A room in sync whose next readings of addresses fail, and the times at which it reads them. */
async function failing(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const state = { fails: false, readings: 0 };
  const refresh = async (): Promise<void> => {
    state.readings++;
    if (state.fails) throw new Error('no answer');
  };
  const room = await LateRoom.inSync({ held: { refresh } });
  t.after(() => room.loop[Symbol.dispose]());
  state.fails = true;
  return { room, state };
}

test('after a failure the kernel is read again, each time after twice as long, up to 5 s', async (t) => {
  const { room, state } = await failing(t);
  for (const round of [1, 2]) {
    state.fails = true;
    room.loop.doubt('network');
    for (const waitMs of [100, 200, 400, 800, 1600, 3200, 5000, 5000]) {
      await turns();
      const { readings } = state;
      t.mock.timers.tick(waitMs - 1);
      await turns();
      equal(state.readings, readings);
      t.mock.timers.tick(1);
      await turns();
      equal(state.readings, readings + 1);
    }
    equal(room.troubles.length, 9 * round);
    deepEqual([room.loop.settled, room.isWell], [false, false]);
    state.fails = false;
    t.mock.timers.tick(5000);
    await turns();
    while (room.waiting > 0) await room.answer();
    deepEqual([room.loop.settled, room.isWell], [true, true]);
  }
});

test('a loop that is disposed of does nothing more', async (t) => {
  const { room, state } = await failing(t);
  room.loop.doubt('network');
  await turns();
  room.loop[Symbol.dispose]();
  const { readings } = state;
  room.receive(1, open(80));
  room.loop.doubt('network');
  t.mock.timers.tick(60_000);
  await turns();
  deepEqual([state.readings, room.waiting], [readings, 0]);
});

test('while a VIP has no place the loop looks for one, each time after twice as long', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const places = { areLacking: true, forget: () => {} };
  const { seen, held } = recording({ places: places as Partial<Places> as Places });
  const room = await LateRoom.inSync({ held });
  t.after(() => room.loop[Symbol.dispose]());
  for (const waitMs of [1000, 2000]) {
    seen.length = 0;
    t.mock.timers.tick(waitMs - 1);
    await turns();
    deepEqual(seen, []);
    if (waitMs === 2000) places.areLacking = false;
    t.mock.timers.tick(1);
    await turns();
    deepEqual(seen, ['refresh', 'sweep', 'claim']);
  }
  seen.length = 0;
  t.mock.timers.tick(60_000);
  await turns();
  deepEqual(seen, []);
});
