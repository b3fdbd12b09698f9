// Whatever bytes a dump has, each reader of it ends in a value or in a NetlinkError. The dumps are those of
// this kernel, with some bytes changed and some replies cut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { linkDump, readLinks } from '../../src/dialects/addresses/links.ts';
import {
  gatewayQuestions,
  readGateways,
  readOutgoing,
  readSources,
} from '../../src/dialects/addresses/routes.ts';
import type { DumpRequest } from '../../src/dialects/dialect.ts';
import { counterQuestion, readCounters, readPresent } from '../../src/dialects/nftables/counters.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { chainDump, elementsDump, ruleDump } from '../../src/dialects/nftables/dumps.ts';
import { readForeign } from '../../src/dialects/nftables/foreign.ts';
import { readDropping } from '../../src/dialects/nftables/foreign-rules.ts';
import { sampler } from '../../src/dialects/nftables/samples.ts';
import { xtables } from '../../src/dialects/xtables/dialect.ts';
import { legacyDumps, readLegacy } from '../../src/dialects/xtables/foreign.ts';
import { sampler as xtablesSampler } from '../../src/dialects/xtables/samples.ts';
import { NetlinkError } from '../../src/netlink/reader.ts';
import { parseAddress } from '../../src/state/address.ts';
import { nothing, stateOf } from '../dialects/arbitraries.ts';
import { cannotUnshare, runIn } from '../namespaces.ts';
import { commit, everyFeature, hasTool, nft, type OwnKernel, ownKernel, plain } from './own-kernel.ts';
import { commit as commitXtables, skip as noXtables, plain as plainXtables, run } from './own-xtables.ts';

const noNft = cannotUnshare() || hasTool('nft', '--version');
const noIp = cannotUnshare() || hasTool('ip', '-V');

/** Replies up to this length together are read with each of their bytes changed. */
const mostBytes = 16_384;
const extremes = [0, 1, 0x7f, 0xff];

/** Reads the real replies, then with one byte changed, then with several, some of them cut. */
async function readsAny(
  { kernel }: OwnKernel,
  requests: readonly DumpRequest[],
  read: (replies: readonly Uint8Array[]) => unknown,
): Promise<void> {
  const replies: Uint8Array[] = [];
  for (const request of requests) replies.push(await kernel.ask(request));
  read(replies);
  const lengthBytes = replies.reduce((sum, { length }) => sum + length, 0);
  const swept = lengthBytes > mostBytes ? [] : replies;
  const changes = swept.flatMap((reply, index) =>
    [...reply.keys()].flatMap((at) => extremes.map((byte) => [index, at, byte] as const)),
  );
  for (const change of changes) endsWell(replies, [change], read);
  const full = [...replies.keys()].filter((index) => (replies[index]?.length ?? 0) > 0);
  const place = fc.tuple(
    fc.constantFrom(...full),
    fc.nat(),
    fc.oneof(fc.nat(255), fc.constantFrom(...extremes)),
  );
  const several = fc.array(place, { minLength: 2, maxLength: 4 });
  fc.assert(
    fc.property(several, fc.option(fc.nat()), (changed, cut) => {
      const [[index = 0] = []] = changed;
      const some = cut === null ? replies : replies.with(index, cutAt(replies[index], cut));
      endsWell(some, changed, read);
    }),
    { numRuns: 500 },
  );
}

function cutAt(reply: Uint8Array = new Uint8Array(), at: number): Uint8Array {
  return reply.slice(0, at % (reply.length + 1));
}

function endsWell(
  replies: readonly Uint8Array[],
  changes: readonly (readonly [index: number, at: number, byte: number])[],
  read: (replies: readonly Uint8Array[]) => unknown,
): void {
  const lying = replies.slice();
  for (const [index, at, byte] of changes) {
    const reply = lying[index] ?? new Uint8Array();
    lying[index] = reply.length === 0 ? reply : reply.with(at % reply.length, byte);
  }
  try {
    read(lying);
  } catch (error) {
    const words = error instanceof Error ? error.stack : String(error);
    assert.ok(error instanceof NetlinkError, `${JSON.stringify(changes)}: ${words}`);
  }
}

test('changed dumps of links and routes give links and gateways or a NetlinkError', {
  skip: noIp,
}, async () => {
  using own = ownKernel();
  const { status, stderr } = runIn(
    own.namespace,
    ['ip', '-batch', '-'],
    `link add lan type veth peer name far
link set far up
link set lan up
addr add 10.50.0.9/24 dev lan
addr add fd50::9/64 dev lan nodad
route add default src 10.50.0.9 nexthop via 10.50.0.1 nexthop via inet6 fe80::1 dev lan
route add default via fd50::1
`,
  );
  assert.equal(status, 0, stderr);
  await readsAny(own, [linkDump()], (replies) => replies.map(readLinks));
  await readsAny(own, gatewayQuestions(), (replies) =>
    replies.map((reply) => [readGateways(reply), readSources(reply), readOutgoing(reply)]),
  );
});

test('changed dumps of foreign chains, samples and counters of nftables give values or a NetlinkError', {
  skip: noNft,
}, async () => {
  using own = ownKernel();
  nft(
    own,
    ['-f', '-'],
    `table inet fw {
       set s { type ipv4_addr; elements = { 192.0.2.1 }; }
       chain sub { counter drop; }
       chain in { type filter hook input priority 0; policy drop;
         iif lo accept; ip saddr @s tcp dport { 22, 80 } jump sub; meta l4proto vmap { udp : accept }; }
     }`,
  );
  await readsAny(own, [chainDump(), ruleDump()], ([chains = new Uint8Array(), rules = new Uint8Array()]) => [
    readForeign(chains),
    readDropping(chains, rules),
  ]);
  const observing = { ...plain, observe: true, counters: true };
  await commit(own, observing, nothing, nftables(observing).render(stateOf(everyFeature)));
  nft(own, ['add', 'element', 'inet', 'vipward', 'seen4', '{ 192.0.2.1 . 10.50.0.1 . 6 . 22 }']);
  await readsAny(own, sampler.dumps, (replies) => sampler.read(replies));
  const key = parseAddress('10.50.0.1');
  const question = counterQuestion('vip4', [Uint8Array.from(key.split('.').map(Number))]);
  await readsAny(own, [question, elementsDump('allow4')], (replies) =>
    replies.map((reply) => [readCounters(reply), readPresent(reply)]),
  );
});

test('changed dumps of legacy tables and sets give objects or a NetlinkError', {
  skip: noXtables,
}, async () => {
  using own = ownKernel();
  for (const words of [
    'iptables-legacy -w -N sub',
    'iptables-legacy -w -A sub -p tcp --dport 23 -m conntrack --ctstate NEW -j REJECT',
    'iptables-legacy -w -A INPUT -p tcp -m multiport --dports 22,80 -j sub',
    'ip6tables-legacy -w -A INPUT -s fd00::/8 -j DROP',
  ])
    run(own, words);
  await readsAny(own, legacyDumps(), (replies) => readLegacy(replies));
  const observing = { ...plainXtables, observe: true };
  await commitXtables(own, nothing, xtables(observing).render(stateOf(everyFeature)), observing);
  const dialect = xtables(observing);
  await readsAny(own, dialect.dumps, (replies) => dialect.decode(replies));
  await readsAny(own, xtablesSampler.dumps, (replies) => xtablesSampler.read(replies));
});
