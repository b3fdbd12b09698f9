// A delta -> batches -> a kernel: it ends with the wanted state, and no half of a change is ever in force.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nftables } from '../../../src/dialects/nftables/dialect.ts';
import { keyOf } from '../../../src/dialects/nftables/key.ts';
import type { ElementObject } from '../../../src/dialects/nftables/objects.ts';
import type { Needs } from '../../../src/state/desired-state.ts';
import { parsePort } from '../../../src/state/port.ts';
import { attributes, find, headerBytes, number, split } from '../../fake-kernel/bytes.ts';
import { fakeKernel } from '../../fake-kernel.ts';
import { anyOptions, anyVips, deltaOf, needsOf, nothing, plain, stateOf } from '../arbitraries.ts';
import { large, manyVips } from './many.ts';

test('one commit takes a kernel from any state to any other', () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), anyOptions(), (before, after, options) => {
      const dialect = nftables({ ...plain, ...options });
      const kernel = fakeKernel();
      const direct = fakeKernel();
      const have = dialect.render(stateOf(before));
      const want = dialect.render(stateOf(after));
      assert.deepEqual(kernel.commit(dialect.encode(deltaOf(nothing, have))), []);
      const delta = deltaOf(have, want);
      assert.deepEqual(kernel.commit(dialect.encode(delta)), []);
      direct.commit(dialect.encode(deltaOf(nothing, want)));
      assert.equal(kernel.text(), direct.text());
      // A change is one commit, and no change is none.
      assert.equal(kernel.generation, delta.remove.length + delta.add.length > 0 ? 3 : 2);
      assert.deepEqual(deltaOf(dialect.decode(kernel.dump(dialect.dumps)), want), { remove: [], add: [] });
    }),
  );
});

test('decode reads back what encode committed, so that a restart changes nothing', () => {
  fc.assert(
    fc.property(anyVips(), anyOptions(), fc.constantFrom(0, 6), (vips, options, tableFlags) => {
      const dialect = nftables({ ...plain, ...options, tableFlags });
      const kernel = fakeKernel();
      const needs = needsOf(vips);
      const want = dialect.render(stateOf(vips, needs));
      kernel.commit(dialect.encode(deltaOf(nothing, want)));
      const found = dialect.decode(kernel.dump(dialect.dumps));
      assert.deepEqual(deltaOf(found, want), { remove: [], add: [] });
      assert.deepEqual(found.needs, legible(needs));
    }),
  );
});

test('encode gives the same bytes for the same delta, and its records name every element', () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), (before, after) => {
      const dialect = nftables(plain);
      const delta = deltaOf(dialect.render(stateOf(before)), dialect.render(stateOf(after)));
      const [one, two] = [dialect.encode(delta), dialect.encode(delta)];
      assert.deepEqual(one, two);
      const named = new Set(one.steps.flatMap(({ records }) => records.flatMap(({ objects }) => objects)));
      const elements = [...delta.remove, ...delta.add].filter(({ kind }) => kind === 'element');
      const gone = new Set(delta.remove.flatMap((object) => (object.kind === 'set' ? [object.name] : [])));
      const expected = elements.filter(
        (one) => delta.add.includes(one) || !gone.has((one as ElementObject).set),
      );
      for (const object of expected) assert.ok(named.has(object), object.id);
    }),
  );
});

test('every message of a step has its own sequence number, and only the barrier is behind the split', () => {
  const dialect = nftables(plain);
  const steps = dialect.encode(
    deltaOf(nothing, dialect.render(stateOf(manyVips(2000, 3), needsOf([], large)))),
  ).steps;
  for (const { bytes, split: place, barrier } of steps) {
    const batch = split(bytes.subarray(0, place));
    assert.deepEqual([batch.at(0)?.type, batch.at(-1)?.type], [0x10, 0x11]);
    const numbers = split(bytes).map(({ sequence }) => sequence);
    assert.equal(new Set(numbers).size, numbers.length);
    assert.deepEqual(
      split(bytes.subarray(place)).map(({ type, sequence }) => [type, sequence]),
      [[0xa10, barrier]],
    );
  }
});

test('no message is longer than 64 KiB, and a long list of elements is committed whole', () => {
  const dialect = nftables(plain);
  const vips = manyVips(16_000, 1);
  const { steps } = dialect.encode(deltaOf(nothing, dialect.render(stateOf(vips, needsOf(vips, large)))));
  const lengths = steps.flatMap(({ bytes }) => split(bytes).map(({ bytes: one }) => one.length));
  assert.ok(Math.max(...lengths) <= 65_535);
  const kernel = fakeKernel();
  for (const step of steps) kernel.exchange(step.bytes, step.split);
  const lines = kernel.text().split('\n');
  assert.equal(lines.filter((line) => /^ {4}10\./.test(line)).length, 3 * vips.length);
});

test('a table with other flags is replaced in one batch', () => {
  const vips = manyVips(1500, 3);
  const old = nftables({ ...plain, tableFlags: 0 });
  const now = nftables({ ...plain, tableFlags: 6 });
  const kernel = fakeKernel();
  kernel.commit(old.encode(deltaOf(nothing, old.render(stateOf(vips, needsOf(vips, large))))));
  const found = now.decode(kernel.dump(now.dumps));
  assert.equal(found.elements.length, 0);
  const want = now.render(stateOf(vips, needsOf(vips, large)));
  const { steps } = now.encode(deltaOf(found, want));
  assert.equal(steps.length, 1);
  assert.deepEqual(kernel.commit(now.encode(deltaOf(found, want))), []);
  assert.match(kernel.text(), /^table vipward flags 6 "vipward layout 1"\n/);
});

test('a set with counters is flagged as such exactly where the kernel knows the flag', () => {
  for (const setExpressionFlag of [true, false]) {
    const dialect = nftables({ ...plain, counters: true, setExpressionFlag });
    const { steps } = dialect.encode(deltaOf(nothing, dialect.render(stateOf([]))));
    const sets = steps.flatMap(({ bytes }) => split(bytes).filter(({ type }) => type === 0xa09));
    const told = sets.map(({ bytes }) => {
      const list = attributes(bytes, headerBytes);
      // NFTA_SET_FLAGS with NFT_SET_EXPR, and NFTA_SET_EXPR.
      return [(number(find(list, 3)) & 0x100) !== 0, find(list, 17) !== undefined];
    });
    assert.ok(told.some(([, counts]) => counts) && told.some(([, counts]) => !counts));
    for (const [isFlagged, counts] of told) assert.equal(isFlagged, counts && setExpressionFlag);
  }
});

test('a delta to nothing removes everything', () => {
  fc.assert(
    fc.property(anyVips(), (vips) => {
      const dialect = nftables(plain);
      const kernel = fakeKernel();
      const have = dialect.render(stateOf(vips));
      kernel.commit(dialect.encode(deltaOf(nothing, have)));
      assert.deepEqual(kernel.commit(dialect.encode(deltaOf(have, nothing))), []);
      assert.equal(kernel.text(), '\n');
    }),
  );
});

test('a port of a VIP changes in a set that has room for no other', () => {
  const dialect = nftables(plain);
  const kernel = fakeKernel();
  const states = [80, 443].map((port) => {
    const vips = manyVips(1, 1).map((vip) => ({
      ...vip,
      ports: vip.ports.map((one) => ({ ...one, port: parsePort(port) })),
    }));
    return dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 1 })));
  });
  for (const [index, want] of states.entries())
    assert.deepEqual(kernel.commit(dialect.encode(deltaOf(states[index - 1] ?? nothing, want))), []);
});

test('the receipt of a full set names the element that did not fit, and nothing of its step is in', () => {
  // A list of one set that is too long for an attribute is sent in two.
  for (const [vips, index] of [
    [manyVips(20, 3), 27],
    [manyVips(1, 4700), 3000],
  ] as const) {
    const dialect = nftables(plain);
    // Earlier encodings are in the same buffer.
    for (const before of vips.slice(0, 2))
      dialect.encode(deltaOf(nothing, dialect.render(stateOf([before]))));
    const want = dialect.render(stateOf(vips, needsOf(vips, large)));
    const victim = want.elements[index] as ElementObject;
    const kernel = fakeKernel(({ name, key }) =>
      key !== null && name === victim.set && keyOf(key) === victim.key ? 23 : undefined,
    );
    const receipt = kernel.commit(dialect.encode(deltaOf(nothing, want)));
    assert.deepEqual(
      receipt.map(({ object, errno }) => [object, errno]),
      [[victim, 23]],
    );
    assert.equal(kernel.text(), '\n');
  }
});

/**
 * The needs that a dump can show: a missing set has no size, and replies pass for a VIP with egress as for a
 * forwarded one.
 */
function legible(needs: Needs): Needs {
  const sources4 = needs.sourceLengths4.length > 0 ? needs.capacities.sources4 : 0;
  const sources6 = needs.sourceLengths6.length > 0 ? needs.capacities.sources6 : 0;
  const capacities = { ...needs.capacities, sources4, sources6 };
  return { ...needs, forward: needs.forward || needs.egress, capacities };
}
