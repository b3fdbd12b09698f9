// A loop whose kernel answers when a test says so, and the acknowledgements that it sends.

import { Allowed } from '../../src/agent/addresses/allowed.ts';
import type { Announcer } from '../../src/agent/addresses/announce.ts';
import type { Holder } from '../../src/agent/addresses/holder.ts';
import type { Journal } from '../../src/agent/disk/journal.ts';
import type { Firewall } from '../../src/agent/firewall/firewall.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import { Loop } from '../../src/agent/loop.ts';
import { Pace } from '../../src/agent/pace.ts';
import { Reporter } from '../../src/agent/reporter.ts';
import { Census } from '../../src/agent/rules/census.ts';
import { Rules } from '../../src/agent/rules/rules.ts';
import type { Session } from '../../src/agent/stream/session.ts';
import type { Tallies } from '../../src/agent/tallies.ts';
import { describe } from '../../src/dialects/nftables/describe.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import type { Receipt } from '../../src/netlink/ack.ts';
import { Errno } from '../../src/netlink/message.ts';
import type { AgentMessage } from '../../src/protocol/messages.ts';
import { type Address, parseAddress, parsePrefix } from '../../src/state/address.ts';
import { parsePort } from '../../src/state/port.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { plain } from '../dialects/arbitraries.ts';
import { logLines } from '../log-lines.ts';

export const key: Address = parseAddress('10.77.0.100');

export function open(...ports: readonly number[]): VirtualIp {
  const service = parseServiceKey('default/web');
  const one = (port: number) =>
    ({ port: parsePort(port), service, delivery: 'host', sources: null }) as const;
  const tcp = ports.map((port) => ({ protocol: 'TCP', ...one(port) }) as const);
  return { address: key, filtered: true, egress: false, ports: tcp };
}

const ignore = (): void => {};
const rest = { isWhole: false, receivedAtMs: 0, first: [], quiet: [] };

/** A kernel that answers a commit when a test says so. */
function lateKernel() {
  const answers: ((errno: number) => void)[] = [];
  const counts = { reads: 0 };
  const kernel: ConstructorParameters<typeof Rules>[0]['kernel'] = {
    dump: async () => {
      counts.reads++;
      return [];
    },
    commit: (transaction) =>
      new Promise((resolve) => {
        const [object] = transaction.steps.flatMap(({ records }) =>
          records.flatMap(({ objects }) => objects),
        );
        const refusal = { object: object ?? null, words: '' };
        answers.push((errno) => resolve((errno === 0 ? [] : [{ ...refusal, errno }]) as Receipt<never>));
      }),
  };
  const answer = async (errno: number): Promise<void> => {
    answers.shift()?.(errno);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { kernel, answers, answer, counts };
}

/** Records the types of the messages to the controller in `said`, and acknowledged numbers in `acked`. */
function reporterOf({ ledger, said, acked }: Pick<LateRoom, 'ledger' | 'said' | 'acked'>): Reporter {
  const reporter = new Reporter({
    ledger,
    isUsable: () => true,
    isDown: () => false,
    now: () => 0,
    journal: { rule: ignore } as Partial<Journal> as Journal,
    tallies: { commit: { observe: ignore }, update: { observe: ignore } } as unknown as Tallies,
    log: logLines('silent').log,
    announcer: { hear: ignore } as Partial<Announcer> as Announcer,
  });
  const send = (message: AgentMessage): void => {
    said.push(message.type);
    if (message.type === 'ack') acked.push(message.seq);
  };
  reporter.session = { send } as unknown as Session;
  return reporter;
}

export interface LateRoomOptions {
  /** The kernel has a table of another layout. */
  readonly isAnothers?: boolean;
  /** The shortest time between commits, on a clock that stands still. */
  readonly intervalMs?: number;
  /** The parts of the holder that the test gives. */
  readonly held?: Partial<Holder>;
}

export interface Recorded {
  readonly seen: string[];
  readonly held: Partial<Holder>;
}

/** A holder that records what the loop asks of it. */
export function recording(more: Partial<Holder> = {}): Recorded {
  const seen: string[] = [];
  const held: Partial<Holder> = {
    refresh: async () => void seen.push('refresh'),
    sweep: async () => void seen.push('sweep'),
    claim: async (keys) => {
      seen.push(`claim ${[...keys].join()}`.trim());
      return 0;
    },
    withdraw: async (keys) => void seen.push(`withdraw ${[...keys].join()}`),
    ...more,
  };
  return { seen, held };
}

/** Lets the loop do all that it can. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Its holder does nothing but what the options give. */
export class LateRoom {
  readonly ledger: Ledger = new Ledger();
  readonly acked: number[] = [];
  readonly said: string[] = [];
  /** Doubts that ended in repairs, with how many objects were repaired. */
  readonly repaired: (readonly [kind: string, objects: number])[] = [];
  readonly troubles: unknown[] = [];
  /** The last reading of the kernel succeeded. */
  isWell = false;
  readonly reporter: Reporter = reporterOf(this);
  readonly loop: Loop;
  readonly #late = lateKernel();

  constructor({ isAnothers = false, intervalMs = 0, held = {} }: LateRoomOptions = {}) {
    const { ledger } = this;
    const { reporter } = this;
    const firewall = {
      dialect: nftables(plain),
      owned: false,
      atomic: true,
      replaces: () => isAnothers,
      guardedInPart: () => null,
      describe,
    } as Partial<Firewall> as Firewall;
    const rules = new Rules({
      isOwn: () => false,
      kernel: this.#late.kernel,
      firewall,
      ledger,
      census: new Census(),
      ...reporter.ofRules,
      onComplete: () => {},
      withdraw: async () => {},
      retain: async () => {},
    });
    const places = { areLacking: false, forget: ignore };
    const nothing = { refresh: async () => {}, sweep: async () => {}, claim: async () => 0 };
    const none = {
      arrivals: { begun: 0, over: 0 },
      lacks: () => false,
      excess: () => [],
      places,
      ...nothing,
    };
    // With the getters of the options, and not with what they return now.
    const holder = Object.defineProperties(none, Object.getOwnPropertyDescriptors(held)) as unknown as Holder;
    const allow = new Allowed([parsePrefix('10.77.0.0/24')]);
    this.loop = new Loop({
      ledger,
      rules,
      holder,
      allow,
      pace: new Pace(intervalMs, () => 0),
      acks: reporter.acks,
      onRefused: reporter.refuse,
      accept: reporter.accept,
      network: { ownAddress: () => undefined, strangers: () => new Map() },
      onRepaired: (...one) => void this.repaired.push(one),
      onTrouble: (error) => {
        this.isWell = false;
        this.troubles.push(error);
      },
      onWell: () => {
        this.isWell = true;
      },
    });
  }

  /** A room that is in sync, with no commit under way. */
  static async inSync(options: LateRoomOptions = {}): Promise<LateRoom> {
    const room = new LateRoom(options);
    room.loop.synced();
    await room.answer();
    await room.answer();
    return room;
  }

  /** How many commits wait for an answer. */
  get waiting(): number {
    return this.#late.answers.length;
  }

  /** How often the rules in the kernel were read. */
  get reads(): number {
    return this.#late.counts.reads;
  }

  /** Receives the rules of a VIP; undefined removes those of `key`. */
  receive(seq: number, vip: VirtualIp | undefined): void {
    this.change(seq, vip === undefined ? [] : [vip], vip === undefined ? [key] : []);
  }

  change(seq: number, set: readonly VirtualIp[], remove: readonly Address[] = []): void {
    this.loop.receive({ table: 'rules', seq, set, remove, ...rest });
  }

  /** Placements of VIPs on this node. */
  place(seq: number, set: readonly Address[], remove: readonly Address[] = []): void {
    const placements = set.map((address) => ({ address, term: { generation: 1, n: seq } }));
    this.loop.receive({ table: 'placements', seq, set: placements, remove, ...rest });
  }

  /** Answers the oldest commit, if one waits, and lets the loop do all that follows. */
  async answer(refuses = false): Promise<void> {
    await this.#late.answer(refuses ? Errno.ENFILE : 0);
  }

  /** Answers as if another program had changed the table meanwhile. */
  async disturb(): Promise<void> {
    await this.#late.answer(Errno.EBUSY);
  }
}
