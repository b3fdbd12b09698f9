// A request before the source was read completely is answered once it was, or after a while.

import { deepEqual, equal } from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WaitingRoom } from '../../../src/controller/stream/waiting-room.ts';

const limit = { timeout: 10_000 };

/** A room with waiting requests, and the answers so far: names, and whether the room was open. */
function roomOf(names: readonly string[]) {
  const state = { isOpen: false };
  const answered: (readonly [name: string, isOpen: boolean])[] = [];
  const room = new WaitingRoom(() => state.isOpen);
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const sockets = names.map((name) => {
    const socket = new PassThrough();
    const answer = () => {
      answered.push([name, state.isOpen]);
      if (name === names.at(-1)) resolve();
    };
    room.add({ socket, answer });
    return socket;
  });
  return { room, state, answered, all, sockets };
}

type Room = ReturnType<typeof roomOf>;

/** Such a room after a while in which no request has timed out. */
async function roomAfter(ms: number, names: readonly string[], begin = (_: Room) => {}): Promise<Room> {
  for (;;) {
    const beganMs = performance.now();
    const made = roomOf(names);
    begin(made);
    await sleep(ms);
    if (performance.now() - beganMs < 900) return made;
    made.room.terminate();
  }
}

test('waiting requests are answered in order once the room is open', limit, async () => {
  const { room, state, answered, all } = await roomAfter(100, ['a', 'b']);
  deepEqual([answered, room.size], [[], 2]);
  state.isOpen = true;
  await all;
  deepEqual(answered, [
    ['a', true],
    ['b', true],
  ]);
  equal(room.size, 0);
});

test('a request that waits too long is answered once while the room is closed', limit, async () => {
  const { state, answered, all } = roomOf(['a']);
  await all;
  state.isOpen = true;
  await sleep(100);
  deepEqual(answered, [['a', false]]);
});

test('a request whose client has gone is not answered, and does not hold up the next', limit, async () => {
  const goes = ({ sockets }: Room) => void sockets[0]?.destroy();
  const { state, answered, all } = await roomAfter(50, ['a', 'b'], goes);
  state.isOpen = true;
  await all;
  deepEqual(answered, [['b', true]]);
});

test('terminate cuts off all waiting requests without an answer', limit, async () => {
  const { room, state, answered, sockets } = roomOf(['a', 'b']);
  room.terminate();
  state.isOpen = true;
  await sleep(100);
  deepEqual([answered, sockets.map(({ destroyed }) => destroyed), room.size], [[], [true, true], 0]);
});
