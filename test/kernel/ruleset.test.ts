// The table on the real kernel: what is committed is what is dumped, and what nft prints and reads.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { tableOwner } from '../../src/dialects/nftables/decode.ts';
import { describe } from '../../src/dialects/nftables/describe.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { probeStep, readCapabilities } from '../../src/dialects/nftables/probe.ts';
import type { NftOptions } from '../../src/dialects/nftables/ruleset.ts';
import { receiptOf } from '../../src/netlink/ack.ts';
import { formatAddress } from '../../src/state/address.ts';
import { anyOptions, anyVips, deltaOf, needsOf, nothing, roomy, stateOf } from '../dialects/arbitraries.ts';
import { cannotUnshare, runIn } from '../namespaces.ts';
import { runs } from '../patience.ts';
import {
  commit,
  difference,
  everyFeature,
  found,
  hasTool,
  nft,
  ownKernel,
  plain,
  port,
  vip,
} from './own-kernel.ts';

const skip = cannotUnshare();
const withNft = { skip: skip || hasTool('nft', '--version') };
const counting: NftOptions = { ...plain, counters: true, observe: true };
const goldens = [
  ['every-feature', plain, everyFeature],
  ['observe-counters', counting, []],
] as const;

for (const [name, options, vips] of goldens) {
  test(`nft prints the table as golden/${name}.nft says`, withNft, async () => {
    using own = ownKernel();
    await commit(own, options, nothing, nftables(options).render(stateOf(vips)));
    assert.equal(plainText(nft(own, ['list', 'ruleset'])), plainText(golden(name)));
  });

  test(
    `a table that nft loads from golden/${name}.nft is the one that the dialect renders`,
    withNft,
    async () => {
      using own = ownKernel();
      nft(own, ['-f', '-'], golden(name));
      const want = nftables(options).render(stateOf(vips));
      assert.deepEqual(difference(await found(own, options), want), []);
    },
  );
}

test('any state, and any state after it, is read back as it was committed', { skip }, async () => {
  await fc.assert(
    fc.asyncProperty(anyVips(), anyVips(), anyOptions(), async (before, after, some) => {
      const options = { ...plain, ...some };
      using own = ownKernel();
      const dialect = nftables(options);
      let have = dialect.render(stateOf([]));
      await commit(own, options, nothing, have);
      for (const vips of [before, after]) {
        const want = dialect.render(stateOf(vips));
        await commit(own, options, have, want);
        have = await found(own, options);
        assert.deepEqual(difference(have, want), []);
      }
    }),
    runs(25),
  );
});

test('a table with owner and persist is read back, and nft cannot change it', withNft, async (t) => {
  using own = ownKernel();
  const options = { ...plain, tableFlags: 6 };
  const want = nftables(options).render(stateOf(everyFeature));
  const step = probeStep();
  if (!(await capabilities(own)).ownerAndPersist) return t.skip('this kernel has no persist flag');
  await commit(own, options, nothing, want);
  assert.deepEqual(difference(await found(own, options), want), []);
  const [tables] = await own.kernel.dump(nftables(options).dumps.slice(0, 1));
  assert.equal(tableOwner(tables ?? step.bytes), own.kernel.portId('nfnetlink'));
  for (const words of [
    'add element inet vipward vip4 { 10.9.9.9 }',
    'flush chain inet vipward guard4',
    'delete table inet vipward',
  ]) {
    const { status, stderr } = runIn(own.namespace, ['nft', ...words.split(' ')]);
    assert.equal(status, 1, words);
    assert.match(stderr, /Operation not permitted/);
  }
  nft(own, ['flush', 'ruleset']);
  assert.deepEqual(difference(await found(own, options), want), []);
});

test('the probe reads the capabilities and leaves no trace', withNft, async () => {
  using own = ownKernel();
  const before = nft(own, ['-a', 'list', 'ruleset']);
  const first = await capabilities(own);
  assert.equal(first.refusal, 0);
  assert.deepEqual(await capabilities(own), first);
  assert.equal(nft(own, ['-a', 'list', 'ruleset']), before);
  // The kernel accepts a table with every flag that the probe found.
  const options = {
    ...plain,
    tableFlags: first.ownerAndPersist ? 6 : 0,
    setExpressionFlag: first.setExpressionFlag,
    localAddresses: first.localAddresses,
  };
  await commit(own, options, nothing, nftables(options).render(stateOf([])));
});

test('a full set refuses the whole batch, and the receipt names the element that did not fit', {
  skip,
}, async () => {
  using own = ownKernel();
  const dialect = nftables(plain);
  const vips = manyVips(11);
  const state = stateOf(vips, needsOf(vips, { ...roomy, vips4: 10 }));
  const empty = dialect.render({ ...state, vips: [] });
  await commit(own, plain, nothing, empty);
  const receipt = await own.kernel.commit(dialect.encode(deltaOf(empty, dialect.render(state))));
  assert.deepEqual(
    receipt.map(({ object, errno }) => [object && describe(object), object?.owner, errno]),
    [
      ['element drop4 { 10.0.0.11 }', '10.0.0.11', 23],
      ['element vip4 { 10.0.0.11 }', '10.0.0.11', 23],
    ],
  );
  assert.deepEqual(difference(await found(own, plain), empty), []);
});

test('a dump returns all of 20,000 elements', { skip }, async () => {
  using own = ownKernel();
  const dialect = nftables(plain);
  const vips = manyVips(5000, 2);
  const capacities = { ...roomy, vips4: 8192, ports4: 16_384 };
  const want = dialect.render(stateOf(vips, needsOf(vips, capacities)));
  assert.equal(want.elements.length, 20_000);
  await commit(own, plain, nothing, want);
  const have = await found(own, plain);
  assert.equal(have.elements.length, 20_000);
  assert.deepEqual(difference(have, want), []);
});

test('sets that have grown are read back with their new size and all their elements', { skip }, async () => {
  using own = ownKernel();
  const dialect = nftables(counting);
  const vips = [...everyFeature, ...manyVips(50, 2)];
  const small = dialect.render(stateOf(vips));
  const larger = { ...roomy, vips4: 2048, ports4: 8192, sources6: 8192 };
  const grown = dialect.render(stateOf(vips, needsOf(vips, larger)));
  await commit(own, counting, nothing, small);
  await commit(own, counting, await found(own, counting), grown);
  const have = await found(own, counting);
  assert.deepEqual(difference(have, grown), []);
  assert.deepEqual(have.needs?.capacities, larger);
});

async function capabilities({ kernel }: ReturnType<typeof ownKernel>) {
  const step = probeStep();
  // Kernel.commit takes objects of a dialect, and those of the probe are none, so its bytes go as two
  // questions.
  const answers = await kernel.ask({ door: 'nfnetlink', bytes: step.bytes.subarray(0, step.split) });
  const barrier = await kernel.ask({ door: 'nfnetlink', bytes: step.bytes.subarray(step.split) });
  return readCapabilities(receiptOf(step, Buffer.concat([answers, barrier])));
}

function manyVips(count: number, ports = 1) {
  return Array.from({ length: count }, (_, index) =>
    vip(
      formatAddress(Uint8Array.of(10, 0, (index + 1) >> 8, (index + 1) & 0xff)),
      Array.from({ length: ports }, (_unused, number) => port(8000 + number)),
    ),
  );
}

function golden(name: string): string {
  return readFileSync(new URL(`golden/${name}.nft`, import.meta.url), 'utf8');
}

/** Versions of nft differ in white space, and in whether they print a mask as hex. */
function plainText(text: string): string {
  return text
    .replaceAll(/\b0x([0-9a-f]+)/g, (_, digits) => String(Number.parseInt(digits, 16)))
    .replaceAll(/[ \t]+/g, ' ')
    .replaceAll(/,\s+/g, ', ')
    .replaceAll(/\n\s*\n/g, '\n')
    .trim();
}
