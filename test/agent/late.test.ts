// A kernel that keeps the agent waiting, as it does beside a long commit of others: what is received
// meanwhile is neither lost nor taken for committed.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Acks } from '../../src/agent/acks.ts';
import { Allowed } from '../../src/agent/allowed.ts';
import type { Announcer } from '../../src/agent/announce.ts';
import { Census } from '../../src/agent/census.ts';
import type { Firewall } from '../../src/agent/firewall.ts';
import type { Holder } from '../../src/agent/holder.ts';
import type { Journal } from '../../src/agent/journal.ts';
import { Ledger } from '../../src/agent/ledger.ts';
import { Loop } from '../../src/agent/loop.ts';
import { Pace } from '../../src/agent/pace.ts';
import { Reporter } from '../../src/agent/reporter.ts';
import { Rules } from '../../src/agent/rules.ts';
import type { Session } from '../../src/agent/session.ts';
import type { Tallies } from '../../src/agent/tallies.ts';
import { describe } from '../../src/dialects/nftables/describe.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import type { Receipt } from '../../src/netlink/ack.ts';
import type { Log } from '../../src/process/log.ts';
import type { Ack, AgentMessage } from '../../src/protocol/messages.ts';
import { parseAddress, parsePrefix } from '../../src/state/address.ts';
import { parsePort } from '../../src/state/port.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';

const key = parseAddress('10.77.0.100');

function open(...ports: readonly number[]): VirtualIp {
  const service = parseServiceKey('default/web');
  const one = (port: number) =>
    ({ port: parsePort(port), service, delivery: 'host', sources: null }) as const;
  const tcp = ports.map((port) => ({ protocol: 'TCP', ...one(port) }) as const);
  return { address: key, filtered: true, egress: false, ports: tcp };
}

const ignore = (): void => {};

/** A kernel that answers a commit when it is told to. */
function lateKernel() {
  const answers: ((refuse: boolean) => void)[] = [];
  const kernel: ConstructorParameters<typeof Rules>[0]['kernel'] = {
    dump: async () => [],
    commit: (transaction) =>
      new Promise((resolve) => {
        const [object] = transaction.steps.flatMap(({ records }) =>
          records.flatMap(({ objects }) => objects),
        );
        const refusal = { object: object ?? null, errno: 23, words: '' };
        answers.push((refuse) => resolve((refuse ? [refusal] : []) as Receipt<never>));
      }),
  };
  const answer = async (refuses = false): Promise<void> => {
    answers.shift()?.(refuses);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { kernel, answers, answer };
}

/** What the controller is told is put down in `said`, in order. */
function reporterOf(ledger: Ledger, said: string[]): Reporter {
  const reporter = new Reporter({
    ...{ ledger, isUsable: () => true },
    journal: { rule: ignore } as Partial<Journal> as Journal,
    tallies: { commit: { observe: ignore }, update: { observe: ignore } } as unknown as Tallies,
    log: { warn: ignore, debug: ignore } as unknown as Log,
    announcer: { hear: ignore } as Partial<Announcer> as Announcer,
  });
  const send = ({ type }: AgentMessage): number => said.push(type);
  reporter.session = { send } as unknown as Session;
  return reporter;
}

/** A loop in sync whose kernel answers when it is told to. Addresses are no part of it. */
async function fixture() {
  const ledger = new Ledger();
  const { kernel, answers, answer } = lateKernel();
  const acked: number[] = [];
  const said: string[] = [];
  const reporter = reporterOf(ledger, said);
  const options = { tableFlags: 0, setExpressionFlag: true, counters: false, echo: true, observe: false };
  const firewall = {
    dialect: nftables(options),
    ...{ owned: false, atomic: true, replaces: () => false },
    guardedInPart: () => null,
    describe,
  } as Partial<Firewall> as Firewall;
  const rules = new Rules({
    isOwn: () => false,
    ...{ kernel, firewall, ledger, census: new Census(), ...reporter.ofRules },
    ...{ onComplete: () => {}, withdraw: async () => {}, retain: async () => {} },
  });
  const places = { areLacking: false };
  const nothing = { refresh: async () => {}, sweep: async () => {}, claim: async () => 0 };
  const holder = {
    ...{ usable: true, lacks: () => false, excess: () => [], places },
    ...nothing,
  } as unknown as Holder;
  const onAck = (ack: Ack): void => {
    acked.push(ack.seq);
    reporter.ack(ack);
  };
  const allow = new Allowed([parsePrefix('10.77.0.0/24')]);
  const loop = new Loop({
    ...{ ledger, rules, holder, allow, pace: new Pace(0, () => 0), acks: new Acks(onAck, () => 0) },
    ...{ onRefused: reporter.refuse, accept: reporter.accept },
    network: { ownAddress: () => undefined, foreign: () => [] },
    ...{ onRepaired: ignore, onTrouble: ignore, onWell: ignore },
  });
  const receive = (seq: number, vip: VirtualIp | undefined): void =>
    loop.receive({
      ...{ table: 'rules', seq, isWhole: false, receivedAtMs: 0, first: [], quiet: [] },
      ...{ set: vip === undefined ? [] : [vip], remove: vip === undefined ? [key] : [] },
    });
  loop.synced();
  await answer();
  await answer();
  return { ledger, acked, said, answers, receive, answer };
}

for (const [name, second] of Object.entries({ changed: open(80, 443), removed: undefined })) {
  test(`a VIP that is ${name} while the kernel is busy is told again, and acknowledged then`, async () => {
    const { ledger, acked, answers, receive, answer } = await fixture();
    const first = open(80);
    receive(1, first);
    receive(2, second);
    equal(answers.length, 1);
    await answer();
    equal(ledger.committed.get(key), first);
    deepEqual([acked, answers.length], [[], 1]);
    await answer();
    equal(ledger.committed.get(key), second);
    deepEqual([acked, answers.length], [[2], 0]);
  });
}

test('what came while the kernel was busy is not refused for what was', async () => {
  const { ledger, acked, receive, answer } = await fixture();
  const second = open(443);
  receive(1, open(80));
  receive(2, second);
  await answer(true);
  equal(ledger.refusal('rules', key), undefined);
  await answer();
  await answer();
  equal(ledger.committed.get(key), second);
  deepEqual(acked, [2]);
});

test('what was refused is accepted when it is in force, and not when it is tried anew', async () => {
  const { said, receive, answer } = await fixture();
  receive(1, open(80));
  await answer(true);
  const refused = ['refused', 'ack'];
  deepEqual(said.splice(0), refused);
  receive(2, open(443));
  deepEqual(said, []);
  await answer(true);
  deepEqual(said.splice(0), refused);
  receive(3, open(8443));
  await answer();
  deepEqual(said.splice(0), ['accepted', 'ack']);
  receive(4, open(8444));
  await answer();
  deepEqual(said, ['ack']);
});

test('what was refused is accepted when it is nobody’s wish any more', async () => {
  const { said, receive, answer } = await fixture();
  receive(1, open(80));
  await answer(true);
  receive(2, undefined);
  await answer();
  deepEqual(said, ['refused', 'ack', 'accepted', 'ack']);
});
