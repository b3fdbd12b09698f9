// A kernel that keeps the agent waiting, as during a long commit of another program: changes that arrive
// meanwhile are neither lost nor taken for committed.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../src/state/address.ts';
import { key, LateRoom, type LateRoomOptions, open } from './late-room.ts';

for (const [name, second] of Object.entries({ changed: open(80, 443), removed: undefined })) {
  test(`a VIP that is ${name} during its commit is committed again, and both are acknowledged`, async () => {
    const room = await LateRoom.inSync();
    const { ledger, acked } = room;
    const first = open(80);
    room.receive(1, first);
    room.receive(2, second);
    equal(room.waiting, 1);
    await room.answer();
    equal(ledger.committed.get(key), first);
    deepEqual([acked, room.waiting], [[1], 1]);
    await room.answer();
    equal(ledger.committed.get(key), second);
    deepEqual([acked, room.waiting], [[1, 2], 0]);
  });
}

test('a refused commit does not refuse rules that arrived while it was under way', async () => {
  const room = await LateRoom.inSync();
  const { ledger, acked } = room;
  const second = open(443);
  room.receive(1, open(80));
  room.receive(2, second);
  await room.answer(true);
  equal(ledger.refusal('rules', key), undefined);
  // The first rules are neither in force nor refused by name.
  deepEqual(acked, []);
  await room.answer();
  await room.answer();
  equal(ledger.committed.get(key), second);
  deepEqual(acked, [2]);
});

test('a refused VIP is reported as accepted once it is in force, not when it is tried again', async () => {
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

test('a refused VIP is reported as accepted once the controller has removed it', async () => {
  const room = await LateRoom.inSync();
  const { said } = room;
  room.receive(1, open(80));
  await room.answer(true);
  room.receive(2, undefined);
  await room.answer();
  deepEqual(said, ['refused', 'ack', 'accepted', 'ack']);
});

test('rules that replace a table of another layout are acknowledged once synced and committed', async () => {
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

/** A different VIP for each number. */
const another = (n: number) => ({ ...open(80), address: parseAddress(`10.77.0.${n}`) });

test('each commit is acknowledged, even if another change has arrived whenever one ends', async () => {
  const room = await LateRoom.inSync();
  room.receive(1, another(1));
  for (let seq = 2; seq <= 20; seq++) {
    room.receive(seq, another(seq));
    await room.answer();
    // The commit that ended has all changes that had arrived when it began.
    deepEqual(room.acked.splice(0), [seq - 1]);
    equal(room.ledger.committed.size, seq - 1);
  }
  await room.answer();
  deepEqual(room.acked, [20]);
});

test('changes that arrive during a commit are not acknowledged with it', async () => {
  const room = await LateRoom.inSync();
  room.receive(1, another(1));
  for (const seq of [2, 3, 4]) room.receive(seq, another(seq));
  await room.answer();
  deepEqual(room.acked, [1]);
  await room.answer();
  deepEqual(room.acked, [1, 4]);
});

test('a change without a VIP is acknowledged after the changes before it', async () => {
  const room = await LateRoom.inSync();
  room.receive(1, another(1));
  room.change(2, []);
  deepEqual(room.acked, []);
  await room.answer();
  deepEqual(room.acked, [2]);
  room.change(3, []);
  deepEqual(room.acked, [2, 3]);
});

test('a commit that fails with EBUSY is not acknowledged until the next one succeeds', async () => {
  const room = await LateRoom.inSync();
  room.receive(1, another(1));
  room.receive(2, another(2));
  await room.disturb();
  deepEqual(room.acked, []);
  await room.answer();
  deepEqual(room.acked, [2]);
  equal(room.ledger.committed.size, 2);
});

test('a sequence number of one stream is not acknowledged on another', async () => {
  const room = await LateRoom.inSync();
  room.receive(500, another(1));
  room.reporter.ofSession.onRuler([]);
  room.receive(7, another(2));
  await room.answer();
  deepEqual(room.acked, []);
  await room.answer();
  deepEqual(room.acked, [7]);
});

test('a VIP that is unplaced while another is added is withdrawn without waiting for a commit', async (t) => {
  const [coming, going] = [another(1), another(2)].map(({ address }) => address);
  if (coming === undefined || going === undefined) throw new Error('two');
  const seen: string[] = [];
  const held: NonNullable<LateRoomOptions['held']> = {
    lacks: (keys) => room.ledger.placed.has(coming) && [...keys].includes(coming),
    excess: (keys) => (seen.includes('withdraw') ? [] : [...keys].filter((one) => one === going)),
    withdraw: async () => void seen.push('withdraw'),
    refresh: async () => void seen.push('refresh'),
    claim: async (keys) => {
      if ([...keys].length === 1 && !seen.includes('claim')) {
        seen.splice(0, seen.length, 'claim');
        room.place(5, [], [going]);
        room.loop.doubt('address');
      }
      return 0;
    },
  };
  const room: LateRoom = await LateRoom.inSync({ intervalMs: 60_000, held });
  t.after(() => room.loop[Symbol.dispose]());
  for (let seq = 1; seq <= 4; seq++) {
    room.receive(seq, another(seq));
    await room.answer();
  }
  equal(room.ledger.committed.size, 3);
  room.place(4, [coming]);
  for (let turn = 0; turn < 20; turn++) await room.answer();
  deepEqual(seen, ['claim', 'withdraw', 'refresh']);
  equal(room.ledger.committed.size, 3);
});
