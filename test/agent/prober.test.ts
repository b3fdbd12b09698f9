// What an agent makes of the answers to its questions, and of a link that gives none.
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Network } from '../../src/agent/network.ts';
import { type Finding, Prober } from '../../src/agent/prober.ts';
import type { Link } from '../../src/dialects/addresses/links.ts';
import { linkAddress } from '../../src/host/socket.ts';
import { parseAddress } from '../../src/state/address.ts';
import { recordedNative } from '../host/recorded-native.ts';
import { hex } from '../netlink/captured.ts';

const address = parseAddress('10.50.0.1');
const held = { address, interfaceIndex: 7 };
const stranger = '02005e105712';
const own = '02005e100002';
/** The descriptor that sends, and the first that hears. */
const [sending, arp] = [100, 101];

const link: Link = {
  ...{ index: 7, name: 'lan', mac: hex('02005e100001'), kind: '' },
  ...{ up: true, carrier: true, loopback: false },
};

function answerOf(mac: string): Uint8Array {
  return hex(`02005e100001 ${mac} 0806 0001 0800 06 04 0002 ${mac} 0a320001 02005e100001 00000000`);
}

interface RoomOptions {
  readonly failing?: Record<string, number>;
  readonly on?: Link;
}

/** struct sockaddr_ll of ARP on an interface. */
function lanAddress(index: number): string {
  return Buffer.from(linkAddress(index, 0x0806)).toString('hex');
}

class Room implements Disposable {
  readonly native;
  link: Link;
  readonly prober: Prober;
  readonly #found = new EventEmitter();

  /** `answers` is who answers each question, in order; nobody where it is empty. */
  constructor(answers: readonly string[], { failing = {}, on = link }: RoomOptions = {}) {
    this.link = on;
    this.native = recordedNative(undefined, failing);
    const network = {
      link: (index: number) => ({ ...this.link, index }),
      hasMac: (mac: string) => mac.replaceAll(':', '') === own,
    };
    this.prober = new Prober(this.native, network as Partial<Network> as Network, 'ask', () =>
      this.#found.emit('found'),
    );
    const { send } = this.native;
    let asked = 0;
    this.native.send = (fd, bytes, flags, to) => {
      const mac = answers[asked++] ?? '';
      if (mac !== '') this.native.deliver(arp, answerOf(mac));
      return send(fd, bytes, flags, to);
    };
  }

  /** What is found in the end. */
  async finds(): Promise<Finding> {
    const found = once(this.#found, 'found');
    equal(this.prober.find(held), 'asking');
    ok(this.prober.asked.includes(address));
    equal(this.prober.find(held), 'asking');
    await found;
    ok(!this.prober.asked.includes(address));
    return this.prober.find(held);
  }

  get sent(): number {
    return this.native.calls.filter((call) => call === `send ${sending}`).length;
  }

  [Symbol.dispose](): void {
    this.prober[Symbol.dispose]();
  }
}

const foreign = { mac: '02:00:5e:10:57:12' };
const cases = [
  { what: 'silence', answers: [], finding: 'free', asked: 2 },
  { what: 'two answers', answers: [stranger, stranger], finding: foreign, asked: 2 },
  {
    what: 'one answer, lost on its way before',
    answers: ['', stranger, stranger],
    finding: foreign,
    asked: 3,
  },
  { what: 'an answer that does not come again', answers: [stranger], finding: 'free', asked: 3 },
  { what: 'what another interface of the node answers', answers: [own, own], finding: 'free', asked: 2 },
] as const;

for (const { what, answers, finding, asked } of cases) {
  const outcome = typeof finding === 'string' ? finding : 'a stranger';
  test(`${what}: ${outcome} after ${asked} questions`, async () => {
    using room = new Room(answers);
    deepEqual(await room.finds(), finding);
    equal(room.sent, asked);
  });
}

test('that an address is free is told once, whenever that is, and asked for anew after that', async () => {
  using room = new Room([]);
  equal(room.prober.find(held), 'asking');
  while (room.prober.asked.length > 0) await sleep(50);
  await sleep(1200);
  equal(room.prober.find(held), 'free');
  equal(room.prober.find(held), 'asking');
  equal(room.sent, 3);
});

test('what was found is of no use to who gets the address later', async () => {
  using room = new Room([]);
  equal(room.prober.find(held), 'asking');
  while (room.prober.asked.length > 0) await sleep(50);
  room.prober.forget(address);
  equal(room.prober.find(held), 'asking');
});

test('a stranger is not asked again at once', async () => {
  using room = new Room([stranger, stranger]);
  for (let n = 0; n < 3; n++) deepEqual(n === 0 ? await room.finds() : room.prober.find(held), foreign);
  equal(room.sent, 2);
  while (room.prober.find(held) !== 'asking') await sleep(50);
  equal(room.sent, 3);
});

test('a VIP that goes to another interface is asked for there', () => {
  using room = new Room([]);
  equal(room.prober.find(held), 'asking');
  equal(room.prober.find({ address, interfaceIndex: 8 }), 'asking');
  equal(room.sent, 2);
});

test('an answer on another interface is none', async () => {
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

test('answers are heard as long as something is asked', async () => {
  using room = new Room([]);
  await room.finds();
  const ends = () => room.native.calls.filter((call) => /^(un)?watch|close/.test(call));
  deepEqual(ends(), [`watch ${arp}`]);
  while (ends().length === 1) await sleep(50);
  deepEqual(ends(), [`watch ${arp}`, `unwatch ${arp}`, `submit close ${arp}`]);
});

const deaf = 'nobody can be heard on lan';
const silent: { what: string; reason: string; failing?: Record<string, number>; on?: Link }[] = [
  { what: 'that takes no frames', failing: { send: -100 }, reason: 'lan takes no frames (errno 100)' },
  {
    what: 'for which no socket is to be had',
    failing: { 'socket 17 3 0': -12 },
    reason: `${deaf} (socket(frames, 2054): ENOMEM: Out of memory)`,
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
  test(`on a link ${what} silence says nothing: it is asked again`, async () => {
    const broken: Record<string, number> = {};
    using room = new Room([], { failing: broken, on });
    Object.assign(broken, failing);
    const found = room.finds();
    equal(
      room.prober.obstacle(address),
      `${reason}: it is not known whether somebody has 10.50.0.1, so it waits`,
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
    ok(watched > 0 && opened - refused - closed <= 2, 'what was opened in vain is closed');
  });

test('a link that loses its carrier after the question has said nothing either', async () => {
  using room = new Room([]);
  const found = room.finds();
  room.link = { ...link, carrier: false };
  setTimeout(() => {
    room.link = link;
  }, 500);
  equal(await found, 'free');
  equal(room.sent, 3);
});

test('on an interface where nobody else can be, nobody is asked', () => {
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

test('a node that may send no frames is told so at once', () => {
  throws(() => new Room([], { failing: { 'socket 17 ': -1 } }), /socket\(AF_PACKET\): EPERM.*CAP_NET_RAW/);
});
