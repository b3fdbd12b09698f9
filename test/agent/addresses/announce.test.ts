// Announcements of many VIPs, and of VIPs that are gone or moved before their turn.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Announcer } from '../../../src/agent/addresses/announce.ts';
import type { Network } from '../../../src/agent/addresses/network.ts';
import { linkAddress } from '../../../src/host/socket.ts';
import { parseAddress } from '../../../src/state/address.ts';
import { recordedNative } from '../../host/recorded-native.ts';

const all = Array.from({ length: 100 }, (_, last) => parseAddress(`10.77.0.${last}`));
const on = (interfaceIndex: number) => (address: (typeof all)[number]) => ({ address, interfaceIndex });

/** Long enough for all bursts, and shorter than the time until an announcement is repeated. */
const burstsMs = 500;

/** An announcer on the clock of the test, and the addresses that it has announced by ARP per interface. */
function announcerOf(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const native = recordedNative();
  const sent: string[] = [];
  native.send = (_fd, frame, _flags, to) => {
    const index = [7, 8].find((one) => Buffer.compare(linkAddress(one, 0x0806), to ?? frame) === 0);
    sent.push(`${frame.subarray(28, 32).join('.')} on ${index}`);
    return frame.length;
  };
  const link = (index: number) => ({ index, loopback: false, mac: new Uint8Array(6) });
  const announcer = new Announcer(native, { link } as Partial<Network> as Network);
  t.after(() => announcer[Symbol.dispose]());
  return { announcer, native, sent };
}

test('each VIP is announced by two ARP frames, and a VIP that was let go meanwhile by none', (t) => {
  const { announcer, sent } = announcerOf(t);
  announcer.announce(all.map(on(7)));
  // The first burst is out.
  equal(sent.length, 128);
  for (const address of all.filter((_, last) => last % 2 === 0)) announcer.stop(address);
  t.mock.timers.tick(burstsMs);
  const rest = all.slice(64).filter((_, index) => index % 2 === 1);
  deepEqual(
    sent.slice(128),
    rest.flatMap((address) => [`${address} on 7`, `${address} on 7`]),
  );
});

test('a VIP is announced at once, again after 1, 2 and 4 seconds, and then no more', (t) => {
  const { announcer, sent } = announcerOf(t);
  announcer.announce(all.slice(0, 1).map(on(7)));
  const countAfter = (ms: number) => {
    t.mock.timers.tick(ms);
    return sent.length;
  };
  deepEqual([0, 999, 1, 999, 1, 1999, 1, 60_000].map(countAfter), [2, 2, 4, 4, 6, 6, 8, 8]);
});

test('a VIP that has moved to another interface by its turn is announced there alone', (t) => {
  const { announcer, sent } = announcerOf(t);
  announcer.announce(all.map(on(7)));
  const last = all.slice(-1);
  announcer.announce(last.map(on(8)));
  t.mock.timers.tick(burstsMs);
  deepEqual(
    sent.filter((words) => words.startsWith(`${last} `)),
    [`${last} on 8`, `${last} on 8`],
  );
});

test('a VIP that is placed again is announced again where it is held, and a quiet VIP is not', (t) => {
  const { announcer, sent } = announcerOf(t);
  const [staying, going, elsewhere] = all.map(on(7));
  if (staying === undefined || going === undefined || elsewhere === undefined) throw new Error('three');
  const held = new Map([staying, going].map((one) => [one.address, one]));
  announcer.announce([...held.values()]);
  const set = [staying, going, elsewhere].map(({ address }) => ({ address, term: { generation: 1, n: 1 } }));
  announcer.follow({ set, remove: [], quiet: [going.address], isWhole: false }, held);
  // As when the carrier comes back meanwhile.
  announcer.announce([going]);
  const twice = ({ address }: typeof staying) => Array(2).fill(`${address} on 7`);
  deepEqual(sent, [...twice(staying), ...twice(going), ...twice(staying)]);
  // Both would have been repeated after a second.
  t.mock.timers.tick(1000 + burstsMs);
  deepEqual(sent.slice(6), twice(staying));
  announcer.follow({ set, remove: [], quiet: [], isWhole: false }, held);
  deepEqual(sent.slice(8), [...twice(staying), ...twice(going)]);
  // Another controller, which knows of no move and has no change to send.
  announcer.follow({ set: [], remove: [], quiet: [going.address], isWhole: false }, held);
  announcer.follow({ set: [], remove: [], quiet: [], isWhole: true }, held);
  announcer.announce([going]);
  deepEqual(sent.slice(12), twice(going));
});

test('frames that the interface does not take are counted', (t) => {
  const { announcer, native } = announcerOf(t);
  native.send = () => -100;
  announcer.announce(all.slice(0, 3).map(on(7)));
  equal(announcer.unsent, 6);
});

test('a new VIP is announced before the repeated announcements of others', (t) => {
  const { announcer, sent } = announcerOf(t);
  announcer.announce(all.slice(1).map(on(7)));
  t.mock.timers.tick(burstsMs);
  sent.length = 0;
  // They are announced again, some of them at once.
  t.mock.timers.tick(1000 - burstsMs);
  const again = sent.length;
  announcer.announce(all.slice(0, 1).map(on(8)));
  t.mock.timers.tick(burstsMs);
  ok(again > 0 && sent.length === 2 * all.length);
  deepEqual(sent.slice(again, again + 2), [`${all[0]} on 8`, `${all[0]} on 8`]);
});

test('onSaid also reports a quiet VIP, which is not announced', (t) => {
  const { announcer } = announcerOf(t);
  const said: (typeof all)[number][] = [];
  announcer.onSaid = (some) => said.push(...some.map(({ address }) => address));
  const [one, other] = all.map(on(7));
  if (one === undefined || other === undefined) throw new Error('two');
  announcer.follow({ set: [], remove: [], quiet: [other.address], isWhole: false }, new Map());
  announcer.announce([one, other]);
  deepEqual(said, [one.address, other.address]);
});
