// What a controller is told of the VIPs that a node holds: after any changes it knows them all, and one
// change among many is a short frame.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HeldUpdates } from '../../../src/agent/stream/held-updates.ts';
import { type HeldVip, heldDeltaFeature } from '../../../src/protocol/messages.ts';
import type { Address } from '../../../src/state/address.ts';

/** A node that holds VIPs, and what its controller knows of that. */
class Pair {
  readonly holds = new Map<Address, HeldVip>();
  readonly knows = new Map<Address, HeldVip>();
  #said: ReadonlyMap<Address, HeldVip> = new Map();
  readonly updates = new HeldUpdates({
    held: () => [...this.holds.values()],
    of: (address) => this.holds.get(address),
  });

  /** Sends the next message, if there is one, and returns it. */
  tell(): ReturnType<HeldUpdates['next']> {
    const message = this.updates.next();
    if (message?.type === 'held') this.knows.clear();
    const set = message?.type === 'held' ? message.vips : (message?.set ?? []);
    for (const vip of set) this.knows.set(vip.address, vip);
    if (message?.type === 'heldDelta') for (const address of message.remove) this.knows.delete(address);
    return message;
  }

  /** Sends a hello with the held VIPs on another stream. */
  hello(): void {
    this.#said = new Map(this.holds);
  }

  /** The other stream is the ruling one from now on. */
  welcome(features: readonly string[]): void {
    this.updates.restart(features);
    this.knows.clear();
    for (const vip of this.#said.values()) this.knows.set(vip.address, vip);
  }
}

const address = (index: number) => `10.0.${index >> 8}.${index & 255}` as Address;
const held = (index: number, n: number, isDown = false): HeldVip => {
  const vip = { address: address(index), term: { generation: 1, n } };
  return isDown ? { ...vip, down: true } : vip;
};

const step = fc.oneof(
  fc.record({ kind: fc.constant('hold' as const), index: fc.nat(3), n: fc.nat(2), isDown: fc.boolean() }),
  fc.record({ kind: fc.constant('drop' as const), index: fc.nat(3) }),
  fc.record({ kind: fc.constant('tell' as const) }),
  fc.record({ kind: fc.constant('hello' as const) }),
  fc.record({ kind: fc.constant('welcome' as const), takesDeltas: fc.boolean() }),
);

test('the ruling controller knows the held VIPs after any changes of them and of the ruler', () => {
  const property = fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const pair = new Pair();
    for (const one of steps) {
      if (one.kind === 'hold') pair.holds.set(address(one.index), held(one.index, one.n, one.isDown));
      else if (one.kind === 'drop') pair.holds.delete(address(one.index));
      if (one.kind === 'hold' || one.kind === 'drop') pair.updates.doubt([address(one.index)]);
      else if (one.kind === 'hello') pair.hello();
      else if (one.kind === 'welcome') pair.welcome(one.takesDeltas ? [heldDeltaFeature] : []);
      else pair.tell();
    }
    pair.tell();
    deepEqual(new Map([...pair.knows].sort()), new Map([...pair.holds].sort()));
  });
  fc.assert(property, { numRuns: 500 });
});

test('one VIP more among 10,000 is a frame of less than 200 bytes, and no change is no frame', () => {
  const pair = new Pair();
  for (let index = 0; index < 10_000; index++) pair.holds.set(address(index), held(index, index));
  pair.welcome([heldDeltaFeature]);
  pair.updates.doubt(pair.holds.keys());
  equal(pair.tell()?.type, 'held');
  pair.holds.set(address(10_000), held(10_000, 10_000));
  pair.updates.doubt([address(10_000)]);
  const message = pair.tell();
  ok(JSON.stringify(message).length < 200, JSON.stringify(message).slice(0, 200));
  pair.updates.doubt(pair.holds.keys());
  equal(pair.tell(), null);
});

test('a controller without heldDelta is sent all held VIPs at each change', () => {
  const pair = new Pair();
  pair.welcome([]);
  for (const index of [1, 2]) {
    pair.holds.set(address(index), held(index, 1));
    pair.updates.doubt([address(index)]);
    equal(pair.tell()?.type, 'held');
  }
});
