// Sets are replaced by larger ones of the same name, while others stand in for them, portion by portion.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftables } from '../../../src/dialects/nftables/dialect.ts';
import { batchElements } from '../../../src/dialects/nftables/portions.ts';
import { parsePrefix } from '../../../src/state/address.ts';
import { fakeKernel } from '../../fake-kernel.ts';
import { deltaOf, needsOf, nothing, plain, stateOf } from '../arbitraries.ts';
import { large, manyVips } from './many.ts';

test('larger sets are filled in portions and end as if they had been made at once', () => {
  const dialect = nftables(plain);
  for (const [count, least] of [
    [500, 1],
    [2000, 6],
  ] as const) {
    const vips = manyVips(count, 3);
    const kernel = fakeKernel();
    const small = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 8192 })));
    const grown = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 16_384 })));
    kernel.commit(dialect.encode(deltaOf(nothing, small)));
    const { steps } = dialect.encode(deltaOf(small, grown));
    assert.ok(steps.length >= least, `${steps.length} steps`);
    for (const { records } of steps) {
      const elements = records.flatMap(({ objects }) => objects.filter(({ kind }) => kind === 'element'));
      assert.ok(elements.length < batchElements + 5, `${elements.length} elements in one batch`);
    }
    assert.deepEqual(kernel.commit(dialect.encode(deltaOf(small, grown))), []);
    const fresh = fakeKernel();
    fresh.commit(dialect.encode(deltaOf(nothing, grown)));
    assert.equal(kernel.text(), fresh.text());
  }
});

test('after any step of a growth the next commit reaches the same state', () => {
  const dialect = nftables(plain);
  const vips = manyVips(100, 52);
  const small = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 8192 })));
  const grown = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 16_384 })));
  const fresh = fakeKernel();
  fresh.commit(dialect.encode(deltaOf(nothing, grown)));
  const { door, steps } = dialect.encode(deltaOf(small, grown));
  for (const last of steps.keys()) {
    const kernel = fakeKernel();
    kernel.commit(dialect.encode(deltaOf(nothing, small)));
    assert.deepEqual(kernel.commit({ door, steps: steps.slice(0, last) }), []);
    const found = dialect.decode(kernel.dump(dialect.dumps));
    assert.deepEqual(kernel.commit(dialect.encode(deltaOf(found, grown))), [], `after ${last} steps`);
    assert.equal(kernel.text(), fresh.text(), `after ${last} steps`);
  }
});

for (const [what, larger] of Object.entries({ ports: { ports4: 32_768 }, gates: { vips4: 32_768 } })) {
  const name = `while larger sets of ${what} are made`;
  test(`${name}, a VIP in the gate has its ports, and one that stays is in the gate`, () => {
    const dialect = nftables(plain);
    const [all, sizes] = [manyVips(4000, 3), { ...large, ports4: 16_384 }];
    const [before, after] = [all.slice(0, 3000), all.slice(1000)];
    const kernel = fakeKernel();
    const small = dialect.render(stateOf(before, needsOf(before, sizes)));
    const grown = dialect.render(stateOf(after, needsOf(after, { ...sizes, ...larger })));
    kernel.commit(dialect.encode(deltaOf(nothing, small)));
    const { door, steps } = dialect.encode(deltaOf(small, grown));
    for (const step of steps) {
      assert.deepEqual(kernel.commit({ door, steps: [step] }), []);
      const text = kernel.text();
      const gates = elementsIn(text, lookedInto(text, 'vip4'));
      for (const { address } of before.slice(1000)) assert.ok(gates.has(address), `${address} is open`);
      const ports = countedByVip(elementsIn(text, lookedInto(text, 'allow4')));
      for (const gate of gates) assert.equal(ports.get(gate), 3, `ports of ${gate}`);
    }
    assert.equal(elementsIn(kernel.text(), 'vip4').size, after.length);
  });
}

test('a VIP keeps its ports until the rules look into the set of its new ones', () => {
  const dialect = nftables(plain);
  const before = manyVips(2000, 3);
  const sizes = { ...large, sources4: 8192 };
  const range = { sources: [parsePrefix('192.0.2.0/24')] };
  const after = before.map((vip) => ({ ...vip, ports: vip.ports.map((port) => ({ ...port, ...range })) }));
  const [have, want] = [before, after].map((vips) => dialect.render(stateOf(vips, needsOf(vips, sizes))));
  assert.ok(have !== undefined && want !== undefined);
  const [kernel, fresh] = [fakeKernel(), fakeKernel()];
  kernel.commit(dialect.encode(deltaOf(nothing, have)));
  const { door, steps } = dialect.encode(deltaOf(have, want));
  for (const step of steps) {
    assert.deepEqual(kernel.commit({ door, steps: [step] }), []);
    const text = kernel.text();
    const [open, ranged] = ['allow4', 'src4_24'].map((set) =>
      countedByVip(elementsIn(text, lookedInto(text, set))),
    );
    for (const { address } of before)
      assert.ok(open?.get(address) === 3 || ranged?.get(address) === 3, `${address} is closed`);
  }
  fresh.commit(dialect.encode(deltaOf(nothing, want)));
  assert.equal(kernel.text(), fresh.text());
});

/** How many keys of a set begin with each address. */
function countedByVip(keys: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [vip = ''] of [...keys].map((key) => key.split(' ')))
    counts.set(vip, (counts.get(vip) ?? 0) + 1);
  return counts;
}

/** The keys in one set of a kernel's text. */
function elementsIn(text: string, name: string): Set<string> {
  const [, block = ''] = text.split(new RegExp(`^  set ${name} .*\\n`, 'm'));
  return new Set(/^(?: {4}.*\n)*/.exec(block)?.[0].trim().split(/\n */));
}

/** The set that the rules of a kernel's text look up, of this name or in its place. */
function lookedInto(text: string, name: string): string {
  return new RegExp(`@(${name})\\b`, 'i').exec(text)?.[1] ?? '';
}
