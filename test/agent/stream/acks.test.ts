// Placements are acknowledged once their VIPs have arrived, even if other VIPs are on their way by then.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Arrivals } from '../../../src/agent/addresses/arrivals.ts';
import { Acks } from '../../../src/agent/stream/acks.ts';
import type { Change } from '../../../src/agent/stream/received-table.ts';
import { addresses } from '../../../src/dialects/addresses/dialect.ts';
import type { AddressObject } from '../../../src/dialects/addresses/objects.ts';
import type { Address } from '../../../src/state/address.ts';

/** Placements on their way into a kernel, one IPv6 address each, and what is acknowledged. */
class Room implements Disposable {
  readonly acked: number[] = [];
  readonly acks: Acks = new Acks(
    ({ seq }) => this.acked.push(seq),
    () => 0,
  );
  readonly arrivals: Arrivals = new Arrivals((object) => this.say(object));

  /** The kernel accepts the address of this placement, and has not reported it as usable yet. */
  takes(seq: number): AddressObject {
    const rest = { set: [], remove: [], first: [], quiet: [], isWhole: false, receivedAtMs: 0 };
    this.acks.add({ table: 'placements', seq, ...rest } as Change);
    this.acks.take();
    const object = on(seq, 7);
    this.arrivals.expect(object, false);
    equal(this.arrivals.taken(object), false);
    this.acks.settle(this.arrivals);
    return object;
  }

  say({ address, interfaceIndex }: AddressObject): void {
    this.arrivals.said([{ address, interfaceIndex }]);
    this.acks.arrive(this.arrivals.over);
  }

  [Symbol.dispose](): void {
    this.arrivals[Symbol.dispose]();
  }
}

function on(last: number, interfaceIndex: number): AddressObject {
  const [object] = addresses.render({
    held: [{ address: `fd77::${last}` as Address, interfaceIndex }],
  }).elements;
  if (object === undefined) throw new Error('one object');
  return object;
}

test('placements are acknowledged even if another VIP is always on its way', () => {
  using room = new Room();
  let last = room.takes(1);
  for (let seq = 2; seq <= 20; seq++) {
    const next = room.takes(seq);
    deepEqual(room.acked, []);
    room.arrivals.usable(last);
    deepEqual(room.acked.splice(0), [seq - 1]);
    last = next;
  }
  room.arrivals.usable(last);
  deepEqual(room.acked, [20]);
});

test('placements are acknowledged only once their VIPs and all earlier ones have arrived', () => {
  using room = new Room();
  const [one, two, three] = [1, 2, 3].map((seq) => room.takes(seq));
  if (one === undefined || two === undefined || three === undefined) throw new Error('three');
  room.arrivals.usable(three);
  room.arrivals.usable(two);
  deepEqual(room.acked, []);
  room.arrivals.usable(one);
  deepEqual(room.acked, [3]);
});

test('of the placements whose VIPs have not arrived only the first and the last wait to be acked', () => {
  using room = new Room();
  for (const object of [1, 2, 3].map((seq) => room.takes(seq))) room.arrivals.usable(object);
  deepEqual(room.acked, [1, 3]);
});

test('a VIP that moves to another interface ignores the event and the time limit of the first', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using room = new Room();
  const here = room.takes(1);
  t.mock.timers.tick(900);
  const there = on(1, 8);
  room.arrivals.expect(there, true);
  room.arrivals.taken(there);
  room.arrivals.usable(here);
  t.mock.timers.tick(900);
  equal(room.arrivals.isAbsent(here.address), true);
  room.arrivals.usable(there);
  equal(room.arrivals.isAbsent(here.address), false);
});

test('placements are acknowledged without waiting for an address that is gone or forgotten', () => {
  using room = new Room();
  const [one, two] = [room.takes(1), room.takes(2)];
  room.arrivals.review((object) => object === two);
  room.acks.arrive(room.arrivals.over);
  deepEqual(room.acked, [1]);
  room.arrivals.forget(one);
  room.arrivals.forget(two);
  room.acks.arrive(room.arrivals.over);
  deepEqual(room.acked, [1, 2]);
});

test('an address that the kernel has accepted and never reports counts as usable after a second', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using room = new Room();
  room.takes(1);
  t.mock.timers.tick(999);
  deepEqual(room.acked, []);
  t.mock.timers.tick(1);
  deepEqual(room.acked, [1]);
});
