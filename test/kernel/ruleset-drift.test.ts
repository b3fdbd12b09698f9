// What a stranger can do to the table with nft where it has no owner, and one commit that puts it right.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { deltaOf, nothing, stateOf } from '../dialects/arbitraries.ts';
import { cannotUnshare } from '../namespaces.ts';
import { commit, difference, everyFeature, found, hasTool, nft, ownKernel, plain } from './own-kernel.ts';

const skip = cannotUnshare() || hasTool('nft', '--version');
const want = nftables(plain).render(stateOf(everyFeature));

/** What a stranger tells nft, line by line. */
const strangers: Readonly<Record<string, readonly string[]>> = {
  'an element added': ['add element inet vipward allow4 { 10.50.0.1 . tcp . 22 }'],
  'an element deleted': ['delete element inet vipward icmp6 { nd-neighbor-solicit }'],
  'a set flushed': ['flush set inet vipward vip4'],
  'a rule in front': ['insert rule inet vipward guard4 accept'],
  'a rule at the end': ['add rule inet vipward prerouting ip saddr 192.0.2.1 drop'],
  'a chain flushed': ['flush chain inet vipward guard4'],
  'a base chain of theirs': [
    'add chain inet vipward theirs { type filter hook forward priority 0; policy drop; }',
  ],
  'a chain of theirs that ours goes to': [
    'add chain inet vipward theirs',
    'add rule inet vipward theirs counter',
    'insert rule inet vipward guard6 goto theirs',
  ],
  'a set of theirs with elements': [
    'add set inet vipward theirs { type ipv4_addr; }',
    'add element inet vipward theirs { 192.0.2.1, 192.0.2.2 }',
  ],
  'a rule with a set without a name': ['add rule inet vipward guard4 tcp dport { 22, 23 } accept'],
  'a policy that drops': [
    'add chain inet vipward prerouting { type filter hook prerouting priority -310; policy drop; }',
  ],
  'a table asleep': ['add table inet vipward { flags dormant; }'],
  'a table gone': ['delete table inet vipward'],
};

for (const [name, lines] of Object.entries(strangers)) {
  test(`drift is seen and repaired by one commit: ${name}`, { skip }, async () => {
    using own = ownKernel();
    await commit(own, plain, nothing, want);
    const before = nft(own, ['list', 'ruleset']);
    nft(own, ['-f', '-'], `${lines.join('\n')}\n`);
    const have = await found(own, plain);
    assert.notDeepEqual(difference(have, want), []);
    await commit(own, plain, have, want);
    assert.deepEqual(difference(await found(own, plain), want), []);
    const sorted = (text: string) => text.split(/\n\n|\n(?=\tchain|\tset)/).sort();
    assert.deepEqual(sorted(nft(own, ['list', 'ruleset'])), sorted(before));
  });
}

test('tables of others stay as they are when everything of ours goes', { skip }, async () => {
  using own = ownKernel();
  const theirs =
    'table inet other {\n\tset vip4 {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n}\n';
  nft(own, ['-f', '-'], theirs);
  nft(own, ['-f', '-'], 'table ip vipward {\n\tchain input {\n\t}\n}\n');
  const before = nft(own, ['list', 'ruleset']);
  await commit(own, plain, nothing, want);
  const have = await found(own, plain);
  assert.deepEqual(difference(have, want), []);
  assert.deepEqual(await own.kernel.commit(nftables(plain).encode(deltaOf(have, nothing))), []);
  assert.equal(nft(own, ['list', 'ruleset']), before);
});
