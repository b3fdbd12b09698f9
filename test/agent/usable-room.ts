// An agent's holder and reporter, without a kernel and a controller.
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
import type { Link } from '../../src/dialects/addresses/links.ts';
import type { AddressObject } from '../../src/dialects/addresses/objects.ts';
import type { Transaction } from '../../src/dialects/dialect.ts';
import { Kernel } from '../../src/host/kernel.ts';
import { createLog } from '../../src/process/log.ts';
import type { AgentMessage } from '../../src/protocol/messages.ts';
import { type Address, formatAddress } from '../../src/state/address.ts';
import type { Term } from '../../src/state/term.ts';
import { recordedNative } from '../host/recorded-native.ts';
import { port, vip } from '../kernel/own-kernel.ts';

/** The term of all placements. */
export const term: Term = { generation: 1, n: 1 };

/** A holder whose kernel accepts everything by default, and the messages of its reporter. */
export class Room implements Disposable {
  readonly said: AgentMessage[] = [];
  readonly ledger: Ledger = new Ledger();
  readonly holder: Holder;
  readonly reporter: Reporter;
  readonly #kernel = new Kernel(recordedNative());
  isRuled = true;
  /** The state of the interfaces. */
  link: Pick<Link, 'up' | 'carrier'> = { up: true, carrier: true };
  /** The interface that VIPs go on, if there is one. */
  index: number | null = 7;
  /** What happens while the kernel is asked for gateways, and while it takes addresses. */
  meanwhile: { asked: () => void; taken: () => void } = { asked: () => {}, taken: () => {} };
  /** What the kernel answers to each address; 0 accepts it. */
  errno = 0;
  /** Each address that was written to the kernel, with its interface. */
  readonly written: string[] = [];
  /** The addresses that the network knows. */
  readonly there: AddressObject[] = [];
  /** The addresses announced on the link; `tooSoon` are those reported before their announcement. */
  readonly #spokenOf = new Set<string>();
  /** The address of each announcement. */
  readonly frames: string[] = [];
  /** The placements that its session has received. */
  placements: readonly { readonly address: Address }[] = [];
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
      const address = formatAddress(frame.length === 60 ? frame.subarray(28, 32) : frame.subarray(62, 78));
      this.frames.push(address);
      this.#spokenOf.add(address);
      return frame.length;
    };
    const network = new Network(kernel, ['auto']);
    Object.assign(network, {
      readGateways: async () => this.meanwhile.asked(),
      refresh: async () => [],
      find: (id: string) => this.there.find((object) => object.id === id),
      interfaceFor: () => (this.index === null ? undefined : { index: this.index }),
      link: (index: number) => ({ ...this.link, index, loopback: false, mac: new Uint8Array(6) }),
    });
    Object.defineProperty(network, 'addresses', { value: this.there });
    const log = createLog('silent', { write: () => {}, dropped: 0, [Symbol.dispose]: () => {} });
    const kept = { state: { cluster: null, generation: 0, rules: new Map(), placements: new Map() } };
    const journal = new Journal('/nonexistent', { ...kept, problem: null }, () => {});
    const isDown = (key: Address): boolean => this.holder.places.isDown(key);
    const isUsable = (key: Address): boolean => this.holder.isUsable(key);
    const announcer = new Announcer(native, network);
    const tallies = new Tallies();
    const now = (): number => 0;
    this.reporter = new Reporter({ ledger, journal, log, announcer, isUsable, isDown, tallies, now });
    const isRuled = (): boolean => this.isRuled;
    const placements = (): Room['placements'] => this.placements;
    const session = {
      get ruled() {
        return isRuled();
      },
      get placements() {
        return { resources: new Map(placements().map((one) => [one.address, one])) };
      },
      send: (message: AgentMessage) => {
        if (!isRuled()) return;
        this.said.push(message);
        if (message.type !== 'heldDelta') return;
        const set = message.set.map(({ address }) => address);
        this.tooSoon.push(...set.filter((address) => !this.#spokenOf.has(address)));
      },
    };
    this.reporter.session = session as unknown as Session;
    this.holder = new Holder({
      kernel,
      ledger,
      network,
      announcer,
      nameservers: () => [],
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
