// A kernel that keeps the agent waiting, as it does beside a long commit of others: what is received
// meanwhile is neither lost nor taken for committed.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { key, LateRoom, open } from './late-room.ts';

for (const [name, second] of Object.entries({ changed: open(80, 443), removed: undefined })) {
  test(`a VIP that is ${name} while the kernel is busy is told again, and acknowledged then`, async () => {
    const room = await LateRoom.inSync();
    const { ledger, acked } = room;
    const first = open(80);
    room.receive(1, first);
    room.receive(2, second);
    equal(room.waiting, 1);
    await room.answer();
    equal(ledger.committed.get(key), first);
    deepEqual([acked, room.waiting], [[], 1]);
    await room.answer();
    equal(ledger.committed.get(key), second);
    deepEqual([acked, room.waiting], [[2], 0]);
  });
}

test('what came while the kernel was busy is not refused for what was', async () => {
  const room = await LateRoom.inSync();
  const { ledger, acked } = room;
  const second = open(443);
  room.receive(1, open(80));
  room.receive(2, second);
  await room.answer(true);
  equal(ledger.refusal('rules', key), undefined);
  await room.answer();
  await room.answer();
  equal(ledger.committed.get(key), second);
  deepEqual(acked, [2]);
});

test('what was refused is accepted when it is in force, and not when it is tried anew', async () => {
  const room = await LateRoom.inSync();
  const { said } = room;
  room.receive(1, open(80));
  await room.answer(true);
  const refused = ['refused', 'ack'];
  deepEqual(said.splice(0), refused);
  room.receive(2, open(443));
  deepEqual(said, []);
  await room.answer(true);
  deepEqual(said.splice(0), refused);
  room.receive(3, open(8443));
  await room.answer();
  deepEqual(said.splice(0), ['accepted', 'ack']);
  room.receive(4, open(8444));
  await room.answer();
  deepEqual(said, ['ack']);
});

test('what was refused is accepted when it is nobody’s wish any more', async () => {
  const room = await LateRoom.inSync();
  const { said } = room;
  room.receive(1, open(80));
  await room.answer(true);
  room.receive(2, undefined);
  await room.answer();
  deepEqual(said, ['refused', 'ack', 'accepted', 'ack']);
});

test('rules over a table of another make are acknowledged once they are written, in sync', async () => {
  const room = new LateRoom({ isAnothers: true });
  room.loop.doubt('start');
  await room.loop.idle();
  equal(room.waiting, 0);
  room.receive(1, open(80));
  await room.answer();
  deepEqual(room.acked, []);
  room.loop.synced();
  while (room.waiting === 0) await room.answer();
  deepEqual(room.acked, []);
  await room.answer();
  deepEqual(room.acked, [1]);
});
