// What an agent concludes from the answers to its ARP probes, and from a link that gives none.
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Link } from '../../../src/dialects/addresses/links.ts';
import { linkAddress } from '../../../src/host/socket.ts';
import { parseAddress } from '../../../src/state/address.ts';
import { untilTrue } from '../../patience.ts';
import { address, answerOf, arp, held, link, own, probeOf, Room, stranger } from './prober-room.ts';

/** struct sockaddr_ll of ARP on an interface. */
function lanAddress(index: number): string {
  return Buffer.from(linkAddress(index, 0x0806)).toString('hex');
}

const answer = [answerOf(stranger)];
const foreign = { address, mac: '02:00:5e:10:57:12', does: 'answer' } as const;
const asking = { ...foreign, does: 'ask' } as const;
const other = { ...asking, mac: '02:00:5e:10:57:13' };
const cases = [
  { what: 'silence', heard: [], finding: 'free', asked: 2 },
  { what: 'two answers', heard: [answer, answer], finding: foreign, asked: 2 },
  {
    what: 'two answers after a lost one',
    heard: [[], answer, answer],
    finding: foreign,
    asked: 3,
  },
  { what: 'an answer that is not repeated', heard: [answer], finding: 'free', asked: 3 },
  {
    what: 'answers of another interface of the node',
    heard: [[answerOf(own)], [answerOf(own)]],
    finding: 'free',
    asked: 2,
  },
  { what: 'the probe of another host', heard: [[probeOf(stranger)]], finding: asking, asked: 1 },
  { what: 'a later probe of another host', heard: [[], [probeOf(stranger)]], finding: asking, asked: 2 },
  {
    what: 'probes of the node itself',
    heard: [[probeOf(own)], [probeOf(own)]],
    finding: 'free',
    asked: 2,
  },
  {
    what: 'two answers and the probe of a third host',
    heard: [[answerOf(stranger), probeOf('02005e105713')], answer],
    finding: foreign,
    asked: 2,
  },
  {
    what: 'one answer and the probe of a third host',
    heard: [[probeOf('02005e105713'), answerOf(stranger)]],
    finding: other,
    asked: 2,
  },
] as const;

for (const { what, heard, finding, asked } of cases) {
  const outcome = typeof finding === 'string' ? finding : 'taken';
  test(`after ${what} and ${asked} probes the address is ${outcome}`, async () => {
    using room = new Room(heard);
    deepEqual(await room.finds(), finding);
    equal(room.sent, asked);
  });
}

test('the prober returns that an address is free once, however late, and then probes anew', async () => {
  using room = new Room([]);
  equal(room.prober.find(held), 'asking');
  await room.found();
  await sleep(1200);
  equal(room.prober.find(held), 'free');
  equal(room.prober.find(held), 'asking');
  equal(room.sent, 3);
});

test('a forgotten finding is not returned, and the address is probed anew', async () => {
  using room = new Room([]);
  equal(room.prober.find(held), 'asking');
  await room.found();
  room.prober.forget(address);
  equal(room.prober.find(held), 'asking');
});

test('an address that was found taken is not probed again at once', async () => {
  using room = new Room([answer, answer]);
  for (let n = 0; n < 3; n++) deepEqual(n === 0 ? await room.finds() : room.prober.find(held), foreign);
  equal(room.sent, 2);
  await untilTrue(() => room.prober.find(held) === 'asking');
  equal(room.sent, 3);
});

test('a VIP that moves to another interface is probed there', () => {
  using room = new Room([]);
  equal(room.prober.find(held), 'asking');
  equal(room.prober.find({ address, interfaceIndex: 8 }), 'asking');
  equal(room.sent, 2);
});

test('an answer on another interface is ignored', async () => {
  using room = new Room([]);
  const found = room.finds();
  equal(room.prober.find({ address: parseAddress('10.50.0.2'), interfaceIndex: 8 }), 'asking');
  const [here, elsewhere] = [arp, arp + 1];
  deepEqual(
    room.native.calls.filter((call) => call.startsWith('bind')),
    [`bind ${here} ${lanAddress(7)}`, `bind ${elsewhere} ${lanAddress(8)}`],
  );
  const timer = setInterval(() => room.native.deliver(elsewhere, answerOf(stranger)), 10);
  deepEqual(await found, 'free');
  clearInterval(timer);
});

test('the prober receives while it probes, and closes its socket after that', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using room = new Room([]);
  const found = room.finds();
  for (let question = 1; question <= 2; question++) {
    equal(room.sent, question);
    t.mock.timers.tick(300);
    // The frames that have arrived meanwhile are judged first.
    await setImmediate();
  }
  equal(await found, 'free');
  const ends = () => room.native.calls.filter((call) => /^(un)?watch|close/.test(call));
  deepEqual(ends(), [`watch ${arp}`]);
  t.mock.timers.tick(2000);
  deepEqual(ends(), [`watch ${arp}`, `unwatch ${arp}`, `submit close ${arp}`]);
});

const deaf = 'cannot listen for other hosts on lan';
const silent: { what: string; reason: string; failing?: Record<string, number>; on?: Link }[] = [
  { what: 'that takes no frames', failing: { send: -100 }, reason: 'lan does not send frames (errno 100)' },
  {
    what: 'for which no socket can be opened',
    failing: { 'socket 17 3 0': -12 },
    reason: `${deaf} (socket(AF_PACKET): ENOMEM: Out of memory)`,
  },
  {
    what: 'whose socket takes no filter',
    failing: { attachFilter: -12 },
    reason: `${deaf} (setsockopt(SO_ATTACH_FILTER): ENOMEM: Out of memory)`,
  },
  {
    what: 'that cannot be watched',
    failing: { watch: -28 },
    reason: `${deaf} (watch: ENOSPC: No space left on device)`,
  },
  { what: 'without carrier', on: { ...link, carrier: false }, reason: 'lan has no carrier' },
  { what: 'that is down', on: { ...link, up: false }, reason: 'lan is down' },
];

for (const { what, reason, failing = {}, on = link } of silent)
  test(`on a link ${what} silence is no finding, and the address is probed again`, async () => {
    const broken: Record<string, number> = {};
    using room = new Room([], { failing: broken, on });
    Object.assign(broken, failing);
    const found = room.finds();
    equal(
      room.prober.obstacle(address),
      `${reason}: the agent cannot ask whether another host has 10.50.0.1, and waits`,
    );
    const before = room.sent;
    for (const call of Object.keys(broken)) delete broken[call];
    room.link = link;
    equal(await found, 'free');
    equal(room.sent, before + 2);
    const opened = room.native.calls.filter((call) => call.startsWith('socket 17')).length;
    const watched = room.native.calls.filter((call) => call.startsWith('watch')).length;
    const closed = room.native.calls.filter((call) => call.startsWith('submit close')).length;
    const refused = 'socket 17 3 0' in failing ? 1 : 0;
    ok(watched > 0 && opened - refused - closed <= 2, 'sockets that were opened in vain are closed');
  });

test('silence of a link that lost its carrier after the probe is no finding either', async () => {
  using room = new Room([]);
  const found = room.finds();
  room.link = { ...link, carrier: false };
  await untilTrue(() => room.prober.obstacle(address) !== '');
  room.link = link;
  equal(await found, 'free');
  equal(room.sent, 3);
});

test('on a loopback, dummy or non-Ethernet interface an address is free without a probe', () => {
  for (const on of [
    { ...link, loopback: true },
    { ...link, kind: 'dummy' },
    { ...link, mac: new Uint8Array(16) },
  ]) {
    using room = new Room([], { on });
    equal(room.prober.find(held), 'free');
    equal(room.sent, 0);
  }
});

test('without CAP_NET_RAW the prober throws at once, and names the capability', () => {
  throws(() => new Room([], { failing: { 'socket 17 ': -1 } }), /socket\(AF_PACKET\): EPERM.*CAP_NET_RAW/);
});
