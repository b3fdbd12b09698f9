// The controller is told that a VIP is held once the node answers for it: never earlier, and in every case.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { Announcer } from '../../src/agent/addresses/announce.ts';
import { Holder } from '../../src/agent/addresses/holder.ts';
import { Network } from '../../src/agent/addresses/network.ts';
import { Prober } from '../../src/agent/addresses/prober.ts';
import { Journal } from '../../src/agent/disk/journal.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import { Reporter } from '../../src/agent/reporter.ts';
import type { Session } from '../../src/agent/stream/session.ts';
import { Tallies } from '../../src/agent/tallies.ts';
import { addresses } from '../../src/dialects/addresses/dialect.ts';
import type { AddressObject } from '../../src/dialects/addresses/objects.ts';
import type { Transaction } from '../../src/dialects/dialect.ts';
import { Kernel } from '../../src/host/kernel.ts';
import { createLog } from '../../src/process/log.ts';
import { type AgentMessage, heldDeltaFeature } from '../../src/protocol/messages.ts';
import { type Address, formatAddress } from '../../src/state/address.ts';
import { recordedNative } from '../host/recorded-native.ts';
import { port, vip } from '../kernel/own-kernel.ts';

const term = { generation: 1, n: 1 };
const whole = { set: [], remove: [], first: [], quiet: [], isWhole: true };
const [one, other] = ['fd77::100', 'fd77::101'] as Address[] as [Address, Address];

/** A holder whose kernel accepts everything by default, and the messages of its reporter. */
class Room implements Disposable {
  readonly said: AgentMessage[] = [];
  readonly ledger = new Ledger();
  readonly holder: Holder;
  readonly reporter: Reporter;
  readonly #kernel = new Kernel(recordedNative());
  isRuled = true;
  /** The interface that VIPs go on, if there is one. */
  index: number | null = 7;
  /** What happens while the kernel is asked for gateways, and while it takes addresses. */
  meanwhile = { asked: () => {}, taken: () => {} };
  /** What the kernel answers to each address; 0 accepts it. */
  errno = 0;
  /** Each address that was written to the kernel, with its interface. */
  readonly written: string[] = [];
  /** The addresses that the network knows. */
  readonly there: AddressObject[] = [];
  /** The addresses announced on the link; `tooSoon` are those reported before their announcement. */
  readonly #spokenOf = new Set<string>();
  readonly tooSoon: Address[] = [];

  constructor() {
    const { ledger } = this;
    const kernel = Object.assign(this.#kernel, {
      commit: ({ steps }: Transaction<AddressObject>) => {
        const objects = steps.flatMap(({ records }) => records.flatMap((record) => record.objects));
        this.written.push(...objects.map(({ address, interfaceIndex }) => `${address} ${interfaceIndex}`));
        this.meanwhile.taken();
        const { errno } = this;
        return errno === 0 ? [] : objects.map((object) => ({ object, errno, words: '' }));
      },
    });
    const native = recordedNative();
    native.send = (_fd, frame) => {
      this.#spokenOf.add(
        formatAddress(frame.length === 60 ? frame.subarray(28, 32) : frame.subarray(62, 78)),
      );
      return frame.length;
    };
    const network = new Network(kernel, ['auto']);
    Object.assign(network, {
      readGateways: async () => this.meanwhile.asked(),
      refresh: async () => [],
      find: (id: string) => this.there.find((object) => object.id === id),
      interfaceFor: () => (this.index === null ? undefined : { index: this.index }),
      link: (index: number) => ({ index, loopback: false, mac: new Uint8Array(6) }),
    });
    Object.defineProperty(network, 'addresses', { value: this.there });
    const log = createLog('silent', { write: () => {}, dropped: 0, [Symbol.dispose]: () => {} });
    const kept = { state: { cluster: null, generation: 0, rules: new Map(), placements: new Map() } };
    const journal = new Journal('/nonexistent', { ...kept, problem: null }, () => {});
    const isUsable = (key: Address): boolean => this.holder.isUsable(key);
    const announcer = new Announcer(native, network);
    const tallies = new Tallies();
    this.reporter = new Reporter({ ledger, journal, log, announcer, isUsable, tallies, now: () => 0 });
    const isRuled = (): boolean => this.isRuled;
    const session = {
      get ruled() {
        return isRuled();
      },
      send: (message: AgentMessage) => {
        if (!isRuled()) return;
        this.said.push(message);
        if (message.type !== 'heldDelta') return;
        const set = message.set.map(({ address }) => address);
        this.tooSoon.push(...set.filter((address) => !this.#spokenOf.has(address)));
      },
    };
    this.reporter.session = session as Partial<Session> as Session;
    this.holder = new Holder({
      ...{ kernel, ledger, network, announcer, nameservers: () => [] },
      prober: new Prober(native, network, 'ask', () => {}),
      refuse: this.reporter.refuse,
      accept: () => {},
      onHeld: (keys) => this.reporter.held(keys),
    });
  }

  /** Claims VIPs as if their rules were committed. */
  async claim(...all: readonly Address[]): Promise<void> {
    for (const address of all) {
      const rule = vip(address, [port(80)]);
      this.ledger.wanted.set(address, rule);
      this.ledger.committed.set(address, rule);
      this.ledger.placed.set(address, { address, term });
    }
    await this.holder.claim(all);
  }

  arrives(address: Address): void {
    const held = [{ address, interfaceIndex: 7 }];
    for (const object of addresses.render({ held }).elements) {
      this.there.push(object);
      this.holder.arrivals.usable(object);
    }
  }

  [Symbol.dispose](): void {
    this.holder[Symbol.dispose]();
  }
}

const set = (address: Address) => ({ type: 'heldDelta', set: [{ address, term }], remove: [] });

test('an IPv6 VIP is reported as held once it is usable, and not while it is tentative', async () => {
  using room = new Room();
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  await room.claim(one);
  deepEqual(room.said.splice(0), [{ type: 'held', vips: [] }]);
  deepEqual(room.reporter.heldVips(), []);
  room.arrives(one);
  deepEqual(room.said.splice(0), [set(one)]);
  await room.claim(other);
  deepEqual(room.said, []);
  room.arrives(other);
  deepEqual(room.said, [set(other)]);
});

test('of 150 VIPs that are added at once, each is reported as held once it was announced', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  using room = new Room();
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  const all = Array.from({ length: 150 }, (_, last) => `10.77.0.${last}` as Address);
  await room.claim(...all);
  const { acks } = room.reporter;
  acks.add({ table: 'placements', seq: 5, receivedAtMs: 0, ...whole });
  acks.take();
  acks.settle(room.holder.arrivals);
  const counts = new Set<number>();
  for (let ms = 0; ms < 100; ms++) {
    equal(room.holder.arrivals.over, room.reporter.heldVips().length);
    counts.add(room.holder.arrivals.over);
    t.mock.timers.tick(1);
  }
  deepEqual([...counts], [64, 128, 150]);
  const told = room.said.flatMap((message) => (message.type === 'heldDelta' ? message.set : []));
  deepEqual(told.map(({ address }) => address).sort(), all.toSorted());
  deepEqual(room.tooSoon, []);
});

test('the agent does not wait for an address that the kernel lacks or whose claim failed', async () => {
  using room = new Room();
  const { arrivals } = room.holder;
  await room.claim(one);
  await room.holder.refresh([one]);
  deepEqual([arrivals.begun, arrivals.over], [1, 1]);
  room.meanwhile.taken = () => {
    room.there.push(...addresses.render({ held: [{ address: other, interfaceIndex: 7 }] }).elements);
    throw new Error('no answer');
  };
  await rejects(room.claim(other), /no answer/);
  room.arrives(other);
  await room.holder.refresh([]);
  deepEqual([arrivals.begun, arrivals.over], [2, 2]);
});

test('a VIP that becomes held between hello and welcome is reported after the welcome', async () => {
  using room = new Room();
  room.isRuled = false;
  await room.claim(one);
  deepEqual(room.reporter.heldVips(), []);
  room.arrives(one);
  room.isRuled = true;
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  deepEqual(room.said.splice(0), [{ type: 'held', vips: [{ address: one, term }] }]);
  await room.claim(other);
  room.arrives(other);
  deepEqual(room.said.splice(0), [set(other)]);
  // Another controller, whose hello was sent before that.
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  const both = [one, other].map((address) => ({ address, term }));
  deepEqual(room.said, [{ type: 'held', vips: both }]);
});

test('each ruling controller is told of a refusal once, even if another was told before', () => {
  using room = new Room();
  const refusal = { table: 'rules', key: one, services: [], code: 'Forbidden', reason: 'no' } as const;
  room.reporter.refuse(refusal);
  room.reporter.refuse(refusal);
  deepEqual(room.said.splice(0), [{ type: 'refused', ...refusal }]);
  room.reporter.ofSession.onRuler([]);
  deepEqual(room.said, [
    { type: 'held', vips: [] },
    { type: 'refused', ...refusal },
  ]);
});

test('a VIP that is withdrawn during its move leaves both interfaces, and is held until then', async () => {
  using room = new Room();
  room.reporter.ofSession.onRuler([heldDeltaFeature]);
  await room.claim(one);
  room.arrives(one);
  room.index = 8;
  room.said.length = 0;
  await room.claim(one);
  deepEqual(room.said, []);
  room.written.length = 0;
  await room.holder.withdraw([one]);
  deepEqual(room.written, [`${one} 8`, `${one} 7`]);
  deepEqual(room.said, [{ type: 'heldDelta', set: [], remove: [one] }]);
});

const moments = { asked: 'gateways are read', taken: 'addresses are added' } as const;
for (const moment of ['asked', 'taken'] as const) {
  test(`a VIP that is unplaced while ${moments[moment]} is not refused`, async () => {
    using room = new Room();
    if (moment === 'asked') room.index = null;
    else room.errno = 19; // ENODEV
    await room.claim(one);
    deepEqual(
      room.ledger.refusals.map(({ key, code }) => [key, code]),
      [[one, 'NoInterface']],
    );
    room.meanwhile[moment] = () => room.ledger.unplace(other);
    await room.claim(other);
    deepEqual(
      room.ledger.refusals.map(({ key }) => key),
      [one],
    );
  });
}
