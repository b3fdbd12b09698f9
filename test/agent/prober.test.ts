// What an agent makes of the answers to its questions, and of a link that gives none.
import { deepEqual, equal, throws } from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import type { Network } from '../../src/agent/network.ts';
import { type Finding, Prober } from '../../src/agent/prober.ts';
import type { Link } from '../../src/dialects/addresses/links.ts';
import { parseAddress } from '../../src/state/address.ts';
import { recordedNative } from '../host/recorded-native.ts';
import { hex } from '../netlink/captured.ts';

const address = parseAddress('10.50.0.1');
const held = { address, interfaceIndex: 7 };
const stranger = '02005e105712';
const own = '02005e100002';
/** The descriptor of ARP; that of ICMPv6 is the next. */
const arp = 100;

const link: Link = {
  ...{ index: 7, name: 'lan', mac: hex('02005e100001'), kind: '' },
  ...{ up: true, carrier: true, loopback: false },
};

function answerOf(mac: string): Uint8Array {
  return hex(`02005e100001 ${mac} 0806 0001 0800 06 04 0002 ${mac} 0a320001 02005e100001 00000000`);
}

class Room implements Disposable {
  readonly native;
  readonly prober: Prober;
  readonly #found = new EventEmitter();

  /** `answers` is who answers each question, in order; nobody where it is empty. */
  constructor(answers: readonly string[], { failing = {}, on = link }: { failing?: object; on?: Link } = {}) {
    this.native = recordedNative(undefined, { ...failing });
    const network = { link: () => on, hasMac: (mac: string) => mac.replaceAll(':', '') === own };
    this.prober = new Prober(this.native, network as Partial<Network> as Network, () =>
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
    deepEqual(this.prober.asked, [address]);
    equal(this.prober.find(held), 'asking');
    await found;
    deepEqual(this.prober.asked, []);
    return this.prober.find(held);
  }

  get sent(): number {
    return this.native.calls.filter((call) => call === `send ${arp}`).length;
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

test('a finding is given once, and asked for anew after that', async () => {
  using room = new Room([stranger, stranger]);
  deepEqual(await room.finds(), foreign);
  equal(await room.finds(), 'free');
});

test('a VIP that goes to another interface is asked for there', () => {
  using room = new Room([]);
  equal(room.prober.find(held), 'asking');
  equal(room.prober.find({ address, interfaceIndex: 8 }), 'asking');
  equal(room.sent, 2);
});

test('an interface that takes no frames hears no answer', async () => {
  using room = new Room([], { failing: { 'send 100': -100 } });
  equal(await room.finds(), 'free');
});

test('on an interface where nobody else can be, nobody is asked', () => {
  for (const on of [
    { ...link, loopback: true },
    { ...link, mac: new Uint8Array(16) },
  ]) {
    using room = new Room([], { on });
    equal(room.prober.find(held), 'free');
    equal(room.sent, 0);
  }
});

test('a kernel without IPv6 is asked by ARP alone, and one that lets nobody listen is an error', () => {
  using room = new Room([], { failing: { 'socket 10 ': -97 } });
  deepEqual(
    room.native.calls.filter((call) => call.startsWith('watch')),
    ['watch 100'],
  );
  throws(() => new Room([], { failing: { 'socket 17 ': -1 } }), /socket\(frames, 2054\): EPERM/);
  throws(() => new Room([], { failing: { attachFilter: -12 } }), /SO_ATTACH_FILTER.*: ENOMEM/);
});
