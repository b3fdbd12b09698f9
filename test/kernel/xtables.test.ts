// The xtables dialect and the real kernel, with iptables-legacy and ipset as oracles.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { xtables } from '../../src/dialects/xtables/dialect.ts';
import type { XtOptions } from '../../src/dialects/xtables/ruleset.ts';
import { anyOptions, anyVips, deltaOf, needsOf, nothing, roomy, stateOf } from '../dialects/arbitraries.ts';
import { runIn } from '../namespaces.ts';
import { everyFeature, type OwnKernel, ownKernel, port, vip } from './own-kernel.ts';
import { commit, difference, found, plain, run, saved, skip } from './own-xtables.ts';

const want = xtables(plain).render(stateOf(everyFeature));

/** Foreign rules with all that a table can have: chains, jumps to them, rules without a target, policies. */
const foreign = `*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT DROP [7:700]
:aaa - [0:0]
:zzz - [0:0]
[5:500] -A PREROUTING -s 192.0.2.10/32 -m comment --comment "of another" -j DROP
[6:600] -A PREROUTING -p tcp -m multiport --dports 1,2,3 -g zzz
[7:700] -A aaa -s 192.0.2.11/32
[8:800] -A aaa -j RETURN
[9:900] -A zzz -m limit --limit 5/min -j aaa
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
[3:300] -A FORWARD -i lo -j REJECT --reject-with icmp-port-unreachable
COMMIT
`;

function addForeign(own: OwnKernel): void {
  run(own, 'iptables-legacy-restore -w -c', foreign);
  run(
    own,
    'ip6tables-legacy-restore -w -c',
    foreign.replaceAll(/192.0.2.(\d+)\/32/g, 'fd99::$1/128').replace('icmp-', 'icmp6-'),
  );
}

const inMangle: XtOptions = {
  places: { guard: 'mangle', input: 'filter', egress: 'mangle' },
  fragments: false,
  localAddresses: false,
  counters: true,
  echo: false,
  observe: true,
};
const goldens = [
  ['every-feature', plain],
  ['observe-counters', inMangle],
] as const;

for (const [name, options] of goldens) {
  test(`iptables and ipset load golden/${name}.xtables as the dialect renders it`, { skip }, async () => {
    using own = ownKernel();
    const sizes = { vips4: 64, vips6: 128, ports4: 256, ports6: 512, sources4: 1024, sources6: 2048 };
    const golden = readFileSync(new URL(`golden/${name}.xtables`, import.meta.url), 'utf8');
    // Each part begins with a comment that names the program to read it.
    for (const part of golden.split(/^# /m).slice(1)) run(own, part.split('\n', 1)[0] ?? '', `# ${part}`);
    const wanted = xtables(options).render(stateOf(everyFeature, needsOf(everyFeature, sizes)));
    assert.deepEqual(difference(await found(own), wanted), []);
  });
}

test('rules and sets are read back as they were committed', { skip }, async () => {
  for (const options of [
    plain,
    { ...plain, observe: true, counters: true, echo: false },
    { ...plain, places: { guard: 'mangle', input: 'filter', egress: null } },
    { ...plain, fragments: false, places: { guard: 'mangle', input: 'mangle', egress: 'mangle' } },
  ] satisfies XtOptions[]) {
    using own = ownKernel();
    const wanted = xtables(options).render(stateOf(everyFeature));
    await commit(own, nothing, wanted, options);
    const have = await found(own);
    assert.deepEqual(difference(have, wanted), []);
    const served = { egress: options.places.egress !== null, sourceLengths4: [], sourceLengths6: [] };
    assert.deepEqual(have.needs, { ...needsOf(everyFeature), ...served });
  }
});

test('any state, and any state after it, is read back as it was wanted', { skip }, async () => {
  const steady = { ...needsOf([]), egress: true, forward: true };
  await fc.assert(
    fc.asyncProperty(
      anyVips(),
      anyVips(),
      anyOptions(),
      fc.boolean(),
      async (before, after, some, isSteady) => {
        const options = { ...plain, ...some };
        using own = ownKernel();
        for (const vips of [[], before, after]) {
          const want = xtables(options).render(stateOf(vips, isSteady ? steady : needsOf(vips)));
          await commit(own, await found(own), want, options);
          assert.deepEqual(difference(await found(own), want), []);
        }
      },
    ),
    { numRuns: 15 },
  );
});

test('iptables-save and iptables-restore reproduce our rules unchanged', { skip }, async () => {
  using own = ownKernel();
  for (const options of [plain, { ...plain, observe: true }]) {
    const have = await found(own);
    const wanted = xtables(options).render(stateOf(everyFeature));
    await commit(own, have, wanted, options);
    const before = saved(own);
    for (const family of ['', '6']) {
      const text = run(own, `ip${family}tables-legacy-save -c`);
      run(own, `ip${family}tables-legacy -w -t raw -F`);
      run(own, `ip${family}tables-legacy-restore -w -c`, text);
    }
    assert.equal(saved(own), before);
    assert.deepEqual(difference(await found(own), wanted), []);
  }
});

test('every line of ours names vipward, and iptables -L shows its comments', { skip }, async () => {
  using own = ownKernel();
  addForeign(own);
  const before = saved(own).split('\n');
  await commit(own, nothing, want);
  const added = saved(own)
    .split('\n')
    .filter((line) => !before.includes(line) && !/^(\*|:[A-Z]+ |COMMIT)/.test(line));
  assert.ok(added.length > 40);
  assert.deepEqual(
    added.filter((line) => !line.includes('vipward')),
    [],
  );
  const listing = run(own, 'iptables-legacy -w -t raw -L -n -v');
  assert.match(listing, /vipward-guard .* \/\* vipward: only declared ports of a VIP \*\//);
  assert.match(listing, /DROP .* match-set vipward-drop4 dst \/\* vipward: dropped, counted by VIP \*\//);
});

test('foreign rules, policies and counters stay while ours are added, changed and removed', {
  skip,
}, async () => {
  using own = ownKernel();
  addForeign(own);
  const ours = (line: string): boolean => /vipward/.test(line);
  const theirs = (): string[] =>
    saved(own)
      .split('\n')
      .filter((line) => !ours(line));
  run(own, 'iptables-legacy -w -t mangle -L');
  run(own, 'ip6tables-legacy -w -t mangle -L');
  const before = theirs();
  await commit(own, nothing, want);
  assert.deepEqual(theirs(), before);
  const less = xtables(plain).render(stateOf(everyFeature.map((one) => ({ ...one, egress: false }))));
  await commit(own, want, less);
  assert.deepEqual(difference(await found(own), less), []);
  assert.deepEqual(theirs(), before);
  await commit(own, await found(own), nothing);
  assert.deepEqual(theirs(), before);
  assert.equal(run(own, 'ipset save'), '');
});

test('all elements are committed where they need more than one send', { skip }, async () => {
  using own = ownKernel();
  const many = Array.from({ length: 2000 }, (_, n) =>
    vip(`10.60.${n >> 8}.${n & 255}`, [port(80), port(81)]),
  );
  const all = xtables(plain).render(stateOf(many, needsOf(many, { ...roomy, vips4: 2048 })));
  assert.ok(all.elements.length > 5000);
  await commit(own, nothing, all);
  assert.deepEqual(difference(await found(own), all), []);
});

test('a set grows in place with all its elements, and the rules look up the larger one', {
  skip,
}, async () => {
  using own = ownKernel();
  await commit(own, nothing, want);
  const grown = { ...roomy, vips4: 4096, ports4: 16_384, sources6: 8192 };
  const more = [...everyFeature, vip('10.50.0.9', [port(80)])];
  const next = xtables(plain).render(stateOf(more, needsOf(more, grown)));
  const rules = saved(own);
  await commit(own, await found(own), next);
  assert.deepEqual(difference(await found(own), next), []);
  assert.match(run(own, 'ipset list vipward-vip4'), /maxelem 4096[\s\S]*References: 3[\s\S]*10\.50\.0\.9/);
  assert.equal(saved(own), rules);
});

test('foreign sets stay, even those whose names begin like ours', { skip }, async () => {
  using own = ownKernel();
  run(own, 'ipset create theirs hash:ip');
  run(own, 'ipset create vipward-of-another hash:net counters');
  run(own, 'ipset add vipward-of-another 192.0.2.0/24 packets 3 bytes 9');
  const before = run(own, 'ipset save');
  await commit(own, nothing, want);
  await commit(own, await found(own), nothing);
  assert.equal(run(own, 'ipset save'), before);
});

test('a commit sweeps the half-made sets of an earlier agent and completes', { skip }, async () => {
  using own = ownKernel();
  run(own, 'ipset create vipward-vip4-new hash:ip');
  run(own, 'ipset create vipward-allow4 hash:ip,port maxelem 8 hashsize 64');
  run(own, 'ipset add vipward-allow4 10.9.9.9,tcp:1');
  await commit(own, await found(own), want);
  assert.deepEqual(difference(await found(own), want), []);
  assert.doesNotMatch(run(own, 'ipset save'), /-new|10\.9\.9\.9/);
});

test('the receipt names an element that the kernel refuses, and the others are added', { skip }, async () => {
  using own = ownKernel();
  const tight = needsOf(everyFeature, { ...roomy, ports4: 2 });
  const three = [vip('10.50.0.1', [port(80), port(81), port(82)])];
  const before = xtables(plain).render(stateOf([], tight));
  await commit(own, nothing, before);
  const delta = deltaOf(before, xtables(plain).render(stateOf(three, tight)));
  const receipt = await own.kernel.commit(xtables(plain).encode({ ...delta, remove: [] }));
  assert.deepEqual(
    receipt.map(({ object, errno }) => [object?.kind === 'element' && object.key.port, errno]),
    [[82, 4352]],
  );
  assert.match(run(own, 'ipset list vipward-allow4'), /10\.50\.0\.1,tcp:80/);
});

test('a refused port leaves the port that it was to replace', { skip }, async () => {
  using own = ownKernel();
  const tight = needsOf(everyFeature, { ...roomy, ports4: 1 });
  const dialect = xtables(plain);
  const of = (number: number) => dialect.render(stateOf([vip('10.50.0.1', [port(number)])], tight));
  const before = of(80);
  await commit(own, nothing, before);
  const after = { ...of(81), constants: before.constants };
  const receipt = await own.kernel.commit(dialect.encode(deltaOf(before, after)));
  assert.deepEqual(
    receipt.map(({ object, errno }) => [object?.kind === 'element' && object.key.port, errno]),
    [[81, 4352]],
  );
  assert.match(run(own, 'ipset list vipward-allow4'), /10\.50\.0\.1,tcp:80/);
});

test('a dump does not create a missing table', { skip }, async () => {
  using own = ownKernel();
  await found(own);
  assert.equal(runIn(own.namespace, ['cat', '/proc/net/ip_tables_names']).stdout, '');
});
