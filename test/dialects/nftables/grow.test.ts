// Sets are replaced by larger ones of the same name, while others stand in for them, portion by portion.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftables } from '../../../src/dialects/nftables/dialect.ts';
import { batchElements } from '../../../src/dialects/nftables/portions.ts';
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

test('while sets are replaced a VIP in the gate has its ports, and one that stays is in the gate', () => {
  const dialect = nftables(plain);
  const [all, sizes] = [manyVips(4000, 3), (ports4: number) => ({ ...large, ports4 })];
  const [before, after] = [all.slice(0, 3000), all.slice(1000)];
  const kernel = fakeKernel();
  const small = dialect.render(stateOf(before, needsOf(before, sizes(16_384))));
  const grown = dialect.render(stateOf(after, needsOf(after, sizes(32_768))));
  kernel.commit(dialect.encode(deltaOf(nothing, small)));
  const { door, steps } = dialect.encode(deltaOf(small, grown));
  for (const step of steps) {
    assert.deepEqual(kernel.commit({ door, steps: [step] }), []);
    const text = kernel.text();
    const [gates, ports] = [elementsIn(text, 'vip4'), elementsIn(text, lookedInto(text, 'allow4'))];
    for (const { address } of before.slice(1000)) assert.ok(gates.has(address), `${address} is open`);
    const owners = new Map<string, number>();
    for (const [owner = ''] of [...ports].map((port) => port.split(' ')))
      owners.set(owner, (owners.get(owner) ?? 0) + 1);
    for (const gate of gates) assert.equal(owners.get(gate), 3, `ports of ${gate}`);
  }
  assert.equal(elementsIn(kernel.text(), 'vip4').size, after.length);
});

/** The keys in one set of a kernel's text. */
function elementsIn(text: string, name: string): Set<string> {
  const [, block = ''] = text.split(new RegExp(`^  set ${name} .*\\n`, 'm'));
  return new Set(/^(?: {4}.*\n)*/.exec(block)?.[0].trim().split(/\n */));
}

/** The set that the rules of a kernel's text look up, of this name or in its place. */
function lookedInto(text: string, name: string): string {
  return new RegExp(`@(${name})\\b`, 'i').exec(text)?.[1] ?? '';
}
