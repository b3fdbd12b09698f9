// What another program can do to our rules with the tools of the firewall where they have no owner, and one
// commit that repairs it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diff } from '../../src/dialects/delta.ts';
import { stateOf } from '../dialects/arbitraries.ts';
import { runIn } from '../namespaces.ts';
import { bothFirewalls, type OfBoth } from './both-firewalls.ts';
import { everyFeature, nft, type OwnKernel, ownKernel } from './own-kernel.ts';
import { run } from './own-xtables.ts';

/** What another program tells nft, line by line. */
const toNft: Readonly<Record<string, readonly string[]>> = {
  'an element added': ['add element inet vipward allow4 { 10.50.0.1 . tcp . 22 }'],
  'an element deleted': ['delete element inet vipward icmp6 { nd-neighbor-solicit }'],
  'a set flushed': ['flush set inet vipward vip4'],
  'a rule in front': ['insert rule inet vipward guard4 accept'],
  'a rule at the end': ['add rule inet vipward prerouting ip saddr 192.0.2.1 drop'],
  'a chain flushed': ['flush chain inet vipward guard4'],
  'a foreign base chain': [
    'add chain inet vipward theirs { type filter hook forward priority 0; policy drop; }',
  ],
  'a foreign chain that ours goes to': [
    'add chain inet vipward theirs',
    'add rule inet vipward theirs counter',
    'insert rule inet vipward guard6 goto theirs',
  ],
  'a foreign set with elements': [
    'add set inet vipward theirs { type ipv4_addr; }',
    'add element inet vipward theirs { 192.0.2.1, 192.0.2.2 }',
  ],
  'a rule with an anonymous set': ['add rule inet vipward guard4 tcp dport { 22, 23 } accept'],
  'a rule with an anonymous chain': ['insert rule inet vipward guard4 ip saddr 192.0.2.9 jump { counter; }'],
  'a foreign map that leads to a foreign chain': [
    'add chain inet vipward theirs',
    'add map inet vipward ways { type ipv4_addr : verdict; }',
    'add element inet vipward ways { 192.0.2.9 : jump theirs }',
  ],
  'a catch-all element for ports': ['add element inet vipward allow4 { * }'],
  'a catch-all element for addresses': ['add element inet vipward vip6 { * }'],
  'a policy that drops': [
    'add chain inet vipward prerouting { type filter hook prerouting priority -310; policy drop; }',
  ],
  'a dormant table': ['add table inet vipward { flags dormant; }'],
  'a table deleted': ['delete table inet vipward'],
};

/** The commands that another program runs one after the other. */
const toLegacy: Readonly<Record<string, readonly string[]>> = {
  'an element added': ['ipset add vipward-allow4 10.50.0.1,tcp:22'],
  'an element deleted': ['ipset del vipward-src6 fd00::1,tcp:443,fd01::/64'],
  'a set flushed': ['ipset flush vipward-vip4'],
  'another set in place of ours': [
    'ipset create theirs hash:ip maxelem 8 hashsize 64',
    'ipset swap theirs vipward-vip4',
  ],
  'a set of networks in place of ours': [
    'ipset create theirs hash:ip netmask 24 maxelem 1024',
    'ipset swap theirs vipward-vip4',
  ],
  'a set of another type in place of ours': [
    ...['-t raw -F', '-t raw -X', '-t mangle -F', '-t mangle -X'].map(
      (words) => `iptables-legacy -w ${words}`,
    ),
    'ipset destroy vipward-vip4',
    'ipset create vipward-vip4 hash:ip,port',
    'ipset add vipward-vip4 192.0.2.1,tcp:80',
  ],
  'a rule in front': ['iptables-legacy -w -t raw -I vipward-guard -j ACCEPT'],
  'a rule at the end': ['ip6tables-legacy -w -t raw -A vipward-guard -s fd99::1 -j DROP'],
  'a rule in front of our jump': ['iptables-legacy -w -t raw -I PREROUTING -s 192.0.2.1 -j ACCEPT'],
  'our jump added twice': ['iptables-legacy -w -t mangle -A FORWARD -j vipward-input'],
  'our jump deleted': ['ip6tables-legacy -w -t mangle -D INPUT 1'],
  'a chain flushed': ['iptables-legacy -w -t mangle -F vipward-egress'],
  'a foreign chain that ours goes to': [
    'iptables-legacy -w -t raw -N theirs',
    'iptables-legacy -w -t raw -A theirs',
    'iptables-legacy -w -t raw -I vipward-guard -g theirs',
  ],
  'a rule of ours replaced by an older form': [
    'iptables-legacy -w -t raw -R vipward-guard 1 -i eth0 -j RETURN',
  ],
  'everything deleted': [
    ...['iptables-legacy', 'ip6tables-legacy'].flatMap((program) =>
      ['raw', 'mangle'].flatMap((table) => [`${program} -w -t ${table} -F`, `${program} -w -t ${table} -X`]),
    ),
    'ipset destroy',
  ],
};

interface Strangers {
  readonly harms: Readonly<Record<string, readonly string[]>>;
  tell(own: OwnKernel, lines: readonly string[]): void;
  /** All that is ours, independent of the order of chains and sets. */
  listing(own: OwnKernel): string[];
}

const strangers: Readonly<Record<string, Strangers>> = {
  nftables: {
    harms: toNft,
    tell: (own, lines) => nft(own, ['-f', '-'], `${lines.join('\n')}\n`),
    listing: (own) =>
      nft(own, ['list', 'ruleset'])
        .split(/\n\n|\n(?=\tchain|\tset)/)
        .sort(),
  },
  xtables: {
    harms: toLegacy,
    tell(own, lines) {
      for (const line of lines) run(own, line);
    },
    listing: (own) =>
      ['iptables-legacy-save', 'ip6tables-legacy-save', 'ipset save']
        .flatMap((program) => run(own, program).split('\n'))
        .filter((line) => line.includes('vipward'))
        .map((line) => line.replaceAll(/\[\d+:\d+\]| packets \d+ bytes \d+/g, ''))
        .sort(),
  },
};

/** Why there are no catch-all elements (kernels before 5.13 have none), or false. */
function noCatchAll(): string | false {
  using own = ownKernel();
  const set = 'table inet x {\nset s {\ntype ipv4_addr\nelements = { * }\n}\n}\n';
  const { status, stderr } = runIn(own.namespace, ['nft', '-f', '-'], set);
  return status === 0 ? false : `no catch-all element: ${stderr.split('\n')[0]}`;
}

async function found({ firewall }: OfBoth, { kernel }: OwnKernel) {
  return firewall.dialect.decode(await kernel.dump(firewall.dialect.dumps));
}

for (const both of bothFirewalls) {
  const { dialect } = both.firewall;
  const of = strangers[dialect.name];
  assert.ok(of !== undefined);
  const { harms, tell, listing } = of;
  const want = dialect.render(stateOf(everyFeature));
  const put = async (own: OwnKernel, have: Awaited<ReturnType<typeof found>>, then = want): Promise<void> =>
    assert.deepEqual(await own.kernel.commit(dialect.encode(diff(have, then))), []);
  const nothing = { constants: [], elements: [], needs: null };

  for (const [name, lines] of Object.entries(harms)) {
    const skip = both.skip || (lines.some((line) => line.includes('{ * }')) && noCatchAll());
    test(`${dialect.name}: a dump shows drift and one commit repairs it: ${name}`, { skip }, async () => {
      using own = ownKernel();
      await put(own, nothing);
      const before = listing(own);
      tell(own, lines);
      const have = await found(both, own);
      assert.notDeepEqual(diff(have, want), { remove: [], add: [] });
      await put(own, have);
      assert.deepEqual(diff(await found(both, own), want), { remove: [], add: [] });
      assert.deepEqual(listing(own), before);
    });
  }

  test(`${dialect.name}: removing all that is ours leaves foreign objects unchanged`, {
    skip: both.skip,
  }, async () => {
    using own = ownKernel();
    if (dialect.name === 'nftables') {
      const set = '\tset vip4 {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n';
      tell(own, [`table inet other {\n${set}}`, 'table ip vipward {\n\tchain input {\n\t}\n}']);
    } else {
      tell(own, ['ipset create vip4 hash:ip', 'ipset add vip4 192.0.2.1']);
      tell(own, [
        'iptables-legacy -w -t raw -N vipward',
        'iptables-legacy -w -t raw -A PREROUTING -j vipward',
      ]);
    }
    const before = listing(own);
    await put(own, nothing);
    const have = await found(both, own);
    assert.deepEqual(diff(have, want), { remove: [], add: [] });
    await put(own, have, nothing as typeof want);
    assert.deepEqual(listing(own), before);
  });
}
