// What a node that is gone again said it holds: what can be is given to nobody else, what nobody issued keeps
// no address; and how much one may say.

import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { heldLimit } from '../../src/protocol/messages.ts';
import { type Address, parseAddress } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import type { Term } from '../../src/state/term.ts';
import { hello, joined, type Ruling, ruling, servicesOf, term, vip } from './ruling.ts';

/** The pool has so many addresses; the first is that of the one Service that there is. */
const pool = Array.from({ length: 100 }, (_, index) => `10.77.0.${100 + index}` as Address);
const impossible: Term = { generation: 1_000_000, n: 1 };

const wire = { send: () => undefined, bufferedAmount: 0 };

/** A controller that has published one VIP. */
function begun(): Ruling {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  return one;
}

/** What one more Service is given. */
function nextAddress({ controller }: Ruling): readonly Address[] {
  controller.apply({ set: servicesOf(2).slice(1), remove: [] });
  return controller.allocator.addressesOf('demo/web-1' as ServiceKey);
}

const held = (addresses: readonly Address[], at: Term) => addresses.map((address) => ({ address, term: at }));

test('what a node claims by a term that nobody issued keeps no address when it is gone', () => {
  for (const type of ['hello', 'held', 'heldDelta']) {
    const one = begun();
    const claims = held(pool, impossible);
    const session = joined(one, hello('liar', type === 'hello' ? claims : []));
    if (type === 'held') equal(one.sessions.message(session, { type, vips: claims }), null);
    if (type === 'heldDelta') equal(one.sessions.message(session, { type, set: claims, remove: [] }), null);
    deepEqual([session.node.held.size, session.node.impossible.size], [0, pool.length]);
    one.sessions.close(session);
    deepEqual(nextAddress(one), [pool[1]], type);
  }
});

test('so it is where the node was gone before the first Services were read', () => {
  const one = ruling();
  one.sessions.close(one.sessions.open(hello('liar', held(pool, impossible)), wire));
  one.controller.publish({ set: servicesOf(1), remove: [] });
  deepEqual(nextAddress(one), [pool[1]]);
});

test('what it may well hold is given to nobody else, though no record knows of it', () => {
  const one = begun();
  const [second, third] = pool.slice(1);
  const session = joined(one, hello('b', second === undefined ? [] : held([second], term)));
  one.sessions.close(session);
  deepEqual(nextAddress(one), [third]);
});

test('who says he holds more than any node may is closed, and what he said last counts for nothing', () => {
  const many = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => {
      const n = from + index;
      return parseAddress(`fd77::${(1 + (n >> 15)).toString(16)}:${(1 + (n & 32767)).toString(16)}`);
    });
  for (const at of [term, impossible]) {
    const one = begun();
    const session = joined(one, hello('liar'));
    const { node } = session;
    const say = (set: readonly Address[], remove: readonly Address[] = []) =>
      one.sessions.message(session, { type: 'heldDelta', set: held(set, at), remove });
    equal(say(many(0, heldLimit)), null);
    equal(say(many(0, 10)), null);
    const closing = say(many(heldLimit, 1), [vip]);
    equal(closing?.code, 1008);
    match(closing?.reason ?? '', /^held: expected at most 100000 VIPs/);
    equal(node.held.size + node.impossible.size, heldLimit);
    const whole = one.sessions.message(session, { type: 'held', vips: held(many(heldLimit, 1), at) });
    equal(whole === null, at === term, 'a list takes the place of what was held, and of no impossible claim');
  }
});
