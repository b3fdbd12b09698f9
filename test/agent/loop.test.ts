// What the loop does with changes and doubts, before it is in sync and after.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { type Address, parseAddress } from '../../src/state/address.ts';
import { key, LateRoom, type LateRoomOptions, open, recording, turns } from './late-room.ts';

type Held = NonNullable<LateRoomOptions['held']>;

const other = { ...open(80), address: parseAddress('10.77.0.1') };

test('the loop is settled once it is in sync, and what it received is in the kernel', async () => {
  const room = new LateRoom();
  const states = () => [room.loop.inSync, room.loop.settled, room.loop.isAtRest];
  deepEqual(states(), [false, false, true]);
  room.loop.doubt('start');
  await room.answer();
  await room.answer();
  deepEqual(states(), [false, false, true]);
  room.loop.synced();
  await room.answer();
  deepEqual(states(), [true, true, true]);
  room.receive(1, open(80));
  deepEqual(states(), [true, false, false]);
  await room.answer();
  deepEqual(states(), [true, true, true]);
  room.loop.enter({ table: 'rules', set: [other], remove: [], first: [], isWhole: false });
  deepEqual(states(), [true, false, true]);
});

test('a VIP that is committed already does not keep another of its change from the kernel', async () => {
  const room = await LateRoom.inSync();
  room.receive(1, other);
  await room.answer();
  room.change(2, [open(80), other]);
  equal(room.waiting, 1);
  await room.answer();
  equal(room.ledger.committed.size, 2);
});

test('before it is in sync the agent removes nothing and acknowledges no removal', async () => {
  const { seen, held } = recording();
  const room = new LateRoom({ held });
  const { ledger, acked, loop } = room;
  loop.doubt('start');
  await room.answer();
  await room.answer();
  deepEqual(seen.splice(0), ['refresh', 'claim']);
  room.receive(1, open(80));
  await room.answer();
  deepEqual(acked, [1]);
  room.receive(2, undefined);
  await turns();
  room.receive(3, other);
  await room.answer();
  deepEqual([room.waiting, ledger.committed.has(key), ledger.committed.size, acked], [0, true, 2, [1]]);
  loop.doubt('link');
  await turns();
  deepEqual(seen.splice(0), ['refresh', `claim ${other.address},${key}`]);
  loop.synced();
  await turns();
  await room.answer();
  deepEqual([ledger.committed.has(key), ledger.committed.size, acked], [false, 1, [1, 3]]);
  deepEqual(seen.splice(0, 2), ['refresh', 'sweep']);
  loop.synced();
  await turns();
  equal(seen.includes('refresh'), false);
});

test('an address that is held in excess is withdrawn before the rules change, once in sync', async () => {
  const excess = new Set<Address>();
  const { seen, held } = recording({
    excess: (keys) => [...keys].filter((one) => excess.has(one)),
    withdraw: async (keys) => {
      for (const one of keys) excess.delete(one);
      seen.push('withdraw');
    },
  });
  const room = new LateRoom({ held });
  room.loop.doubt('start');
  await room.answer();
  await room.answer();
  room.receive(1, open(80));
  await room.answer();
  excess.add(key);
  room.place(2, [], [key]);
  await turns();
  deepEqual([seen.includes('withdraw'), room.acked], [false, [1]]);
  // A VIP that is an address of the node itself goes at once.
  room.ledger.barred.set(key, open(80));
  room.place(3, [], [key]);
  await turns();
  deepEqual(seen.splice(0).at(-1), 'withdraw');
  room.ledger.barred.clear();
  excess.add(key);
  room.loop.synced();
  await turns();
  await room.answer();
  seen.length = 0;
  room.receive(2, open(443));
  equal(room.waiting, 0);
  await turns();
  deepEqual([seen, room.waiting], [['withdraw'], 1]);
});

test('doubts about addresses alone do not read the rules, and repairs are counted by doubt', async () => {
  let added = 0;
  const { seen, held } = recording({ claim: async () => added });
  const room = await LateRoom.inSync({ held });
  for (const doubt of ['address', 'link', 'network', 'rules', 'events-lost']) {
    const before = room.reads;
    seen.length = 0;
    room.repaired.length = 0;
    room.loop.doubt(doubt);
    await turns();
    while (room.waiting > 0) await room.answer();
    const isAboutAddresses = ['address', 'link', 'network'].includes(doubt);
    deepEqual([room.reads - before, seen], [isAboutAddresses ? 0 : 1, ['refresh', 'sweep']]);
    if (isAboutAddresses) deepEqual(room.repaired, []);
  }
  added = 2;
  room.loop.doubt('link');
  await turns();
  deepEqual(room.repaired.at(-1), ['link', 2]);
});

test('VIPs that the prober has a finding for, or that need none any more, are claimed', async () => {
  const { seen, held } = recording({ lacks: (keys) => [...keys].includes(key) });
  const room = await LateRoom.inSync({ held });
  seen.length = 0;
  room.loop.revisit([key]);
  await turns();
  deepEqual(seen.splice(0), [`claim ${key}`]);
  room.ledger.place({ address: key, term: { generation: 1, n: 1 } }, true);
  const whole = { table: 'placements', seq: 2, receivedAtMs: 0, isWhole: true } as const;
  room.loop.receive({ ...whole, set: [], remove: [], first: [], quiet: [] });
  await turns();
  deepEqual(seen, [`claim ${key}`]);
});

test('a placement is acknowledged once its VIP has arrived', async () => {
  const arrivals = { begun: 0, over: 0 };
  const room = await LateRoom.inSync({ held: { arrivals: arrivals as NonNullable<Held['arrivals']> } });
  arrivals.begun = 1;
  room.place(1, [key]);
  await turns();
  deepEqual(room.acked, []);
  arrivals.over = 1;
  room.loop.wake();
  deepEqual(room.acked, [1]);
});

test('a VIP that has arrived on another interface is removed from its old one', async () => {
  let isLeaving = false;
  const { seen, held } = recording();
  Object.defineProperty(held, 'isLeaving', { get: () => isLeaving });
  const room = await LateRoom.inSync({ held });
  seen.length = 0;
  room.loop.wake();
  await turns();
  deepEqual(seen, []);
  for (const change of [() => room.loop.wake(), () => room.change(1, [])]) {
    isLeaving = true;
    change();
    isLeaving = false;
    await turns();
    deepEqual(seen.splice(0), ['refresh', 'sweep', 'claim']);
  }
});

test('after a commit that failed no address is taken before the kernel was read', async () => {
  const { seen, held } = recording({ lacks: (keys) => [...keys].includes(key) });
  const room = await LateRoom.inSync({ held });
  room.receive(1, open(80));
  seen.length = 0;
  await room.disturb();
  deepEqual(seen.splice(0), ['refresh', 'sweep']);
  await room.answer();
  deepEqual(seen, [`claim ${key}`]);
});

test('a VIP that is no longer an address of the node is committed', async () => {
  const room = await LateRoom.inSync();
  room.ledger.barred.set(key, open(80));
  room.loop.doubt('network');
  await turns();
  equal(room.waiting, 1);
  await room.answer();
  equal(room.ledger.committed.has(key), true);
});

test('rules that the kernel refused are tried again once it is in sync', async () => {
  const room = new LateRoom();
  room.loop.doubt('start');
  await room.answer();
  await room.answer();
  room.receive(1, open(80));
  await room.answer(true);
  while (room.waiting > 0) await room.answer();
  equal(room.ledger.refusal('rules', key)?.code, 'KernelRefused');
  room.loop.synced();
  await turns();
  while (room.waiting > 0) await room.answer();
  deepEqual([room.ledger.refusal('rules', key), room.ledger.committed.has(key)], [undefined, true]);
});

test('the first sync reads the rules only if something else casts doubt on them', async () => {
  for (const doubts of [[], ['rules']]) {
    const room = new LateRoom();
    room.loop.doubt('start');
    await room.answer();
    await room.answer();
    room.receive(1, open(80));
    room.loop.synced();
    for (const doubt of doubts) room.loop.doubt(doubt);
    const before = room.reads;
    await room.answer();
    await turns();
    while (room.waiting > 0) await room.answer();
    equal(room.reads - before, doubts.length);
  }
});

test('only changes of rules use up the commits that may start at once', async (t) => {
  const room = await LateRoom.inSync({ intervalMs: 60_000 });
  t.after(() => room.loop[Symbol.dispose]());
  for (let seq = 1; seq <= 5; seq++) {
    room.place(seq, [key]);
    await turns();
  }
  room.receive(1, open(80));
  equal(room.waiting, 1);
});
