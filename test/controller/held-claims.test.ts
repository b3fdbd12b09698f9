// VIPs that a node claimed before it went away: a possible claim reserves the address, one with a term that
// no controller issued does not. The number of claims is limited.

import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { heldLimit } from '../../src/protocol/messages.ts';
import { type Address, parseAddress } from '../../src/state/address.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import type { Term } from '../../src/state/term.ts';
import { hello, joined, type Ruling, ruling, servicesOf, term, vip } from './ruling.ts';

/** All addresses of the pool; the first is that of the only Service. */
const pool = Array.from({ length: 100 }, (_, index) => `10.77.0.${100 + index}` as Address);
const impossible: Term = { generation: 1_000_000, n: 1 };

const wire = { send: () => undefined, bufferedAmount: 0 };

/** A controller that has published one VIP. */
function begun(): Ruling {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  return one;
}

/** The address that one more Service gets. */
function nextAddress({ controller }: Ruling): readonly Address[] {
  controller.apply({ set: servicesOf(2).slice(1), remove: [] });
  return controller.allocator.addressesOf('demo/web-1' as ServiceKey);
}

const held = (addresses: readonly Address[], at: Term) => addresses.map((address) => ({ address, term: at }));

test('claims with a term that was never issued reserve no address once their node is gone', () => {
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

test('claims with such a term reserve none either if their node went before the first reading', () => {
  const one = ruling();
  one.sessions.close(one.sessions.open(hello('liar', held(pool, impossible)), wire));
  one.controller.publish({ set: servicesOf(1), remove: [] });
  deepEqual(nextAddress(one), [pool[1]]);
});

test('a possible claim of a node that is gone reserves the address, even without a record', () => {
  const one = begun();
  const [second, third] = pool.slice(1);
  const session = joined(one, hello('b', second === undefined ? [] : held([second], term)));
  one.sessions.close(session);
  deepEqual(nextAddress(one), [third]);
});

test('a stream that claims more VIPs than allowed is closed, and its last message is ignored', () => {
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
    equal(whole === null, at === term, 'a whole list replaces held VIPs, but no impossible claims');
  }
});
