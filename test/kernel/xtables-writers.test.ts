// Two writers of the same legacy tables, each with the lock of iptables: no change is lost.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { xtables } from '../../src/dialects/xtables/dialect.ts';
import { nothing, stateOf } from '../dialects/arbitraries.ts';
import { spawnIn } from '../namespaces.ts';
import { everyFeature, ownKernel } from './own-kernel.ts';
import { commit, difference, found, plain, run, skip } from './own-xtables.ts';

const changes = 1000;

test(`two writers make ${changes} changes each to the same tables, and none is lost`, { skip }, async () => {
  using own = ownKernel();
  const withEgress = xtables(plain).render(stateOf(everyFeature));
  const without = xtables(plain).render(stateOf(everyFeature.map((one) => ({ ...one, egress: false }))));
  await commit(own, nothing, withEgress);
  // Behind our jumps, because the agent would move a rule in front of them.
  const script = `for i in $(seq ${changes / 4}); do
    address=192.0.$((i / 250)).$((i % 250))
    iptables-legacy -w -t mangle -A PREROUTING -s $address -j ACCEPT || exit 1
    iptables-legacy -w -t raw -A PREROUTING -s $address -j ACCEPT || exit 1
    ip6tables-legacy -w -t raw -A OUTPUT -d fd99::$i -j ACCEPT || exit 1
    ip6tables-legacy -w -t mangle -A FORWARD -d fd99::$i -j ACCEPT || exit 1
  done`;
  const other = spawnIn(own.namespace, ['sh', '-c', script], { stdio: ['ignore', 'ignore', 'inherit'] });
  const done = once(other, 'exit');
  let ours = 0;
  // Egress comes and goes by the rules of all four tables.
  for (; other.exitCode === null || ours < changes; ours++) {
    const [have, want] = ours % 2 === 0 ? [withEgress, without] : [without, withEgress];
    await commit(own, have, want);
    assert.deepEqual(difference(await found(own), want), [], `change ${ours} of ours`);
  }
  assert.deepEqual(await done, [0, null]);
  process.stdout.write(`${changes} changes of another beside ${ours} of ours\n`);
  const rules = [run(own, 'iptables-legacy-save'), run(own, 'ip6tables-legacy-save')].join('');
  for (const theirs of [/-A PREROUTING -s 192\.0\.\d+\.\d+\/32 -j ACCEPT/g, /-d fd99::\w+\/128 -j ACCEPT/g])
    assert.equal(rules.match(theirs)?.length, changes / 2);
});
