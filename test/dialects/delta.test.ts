// The one diff: what it finds is exactly what turns one set of objects into the other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diff, isEmpty } from '../../src/dialects/delta.ts';
import type { Dialect, KernelObject, KernelObjects } from '../../src/dialects/dialect.ts';
import { nftables } from '../../src/dialects/nftables/dialect.ts';
import { xtables } from '../../src/dialects/xtables/dialect.ts';
import { parsePrefix } from '../../src/state/address.ts';
import { anyVips, needsOf, nothing, plain, stateOf } from './arbitraries.ts';
import { manyVips } from './nftables/many.ts';

test('objects do not differ from themselves in another order', () => {
  fc.assert(
    fc.property(anyObjects(), (objects) => {
      assert.ok(isEmpty(diff(objects, { ...objects })));
      const copy = { ...objects, constants: [...objects.constants], elements: objects.elements.toReversed() };
      assert.ok(isEmpty(diff(objects, copy)));
    }),
  );
});

test('the removals and additions turn the present objects into the wanted ones', () => {
  fc.assert(
    fc.property(anyChange(), ([have, want]) => {
      const { remove, add } = diff(have, want);
      const model = new Map([...have.constants, ...have.elements].map(({ id, content }) => [id, content]));
      for (const { id, content } of remove) {
        assert.equal(model.get(id), content);
        model.delete(id);
      }
      for (const { id, content } of add) {
        assert.ok(!model.has(id));
        model.set(id, content);
      }
      const expected = new Map([...want.constants, ...want.elements].map(({ id, content }) => [id, content]));
      assert.deepEqual(model, expected);
    }),
    { numRuns: 1000 },
  );
});

test('a delta with a removal or an addition alone is not empty', () => {
  const one = { ...nothing, elements: [object('a', '')] };
  assert.deepEqual([diff(one, nothing), diff(nothing, one), diff(one, one)].map(isEmpty), [
    false,
    false,
    true,
  ]);
});

test('an object that changes is removed and added', () => {
  const before = { ...nothing, elements: [object('a', 'old'), object('b', 'same')] };
  const after = { ...nothing, elements: [object('a', 'new'), object('b', 'same')] };
  assert.deepEqual(diff(before, after), { remove: [object('a', 'old')], add: [object('a', 'new')] });
});

test('a foreign object is neither removed, nor taken for one of ours', () => {
  const foreign = { ...object('a', ''), foreign: true };
  const have = { ...nothing, elements: [foreign] };
  assert.deepEqual(diff(have, nothing), { remove: [], add: [] });
  assert.deepEqual(diff(have, { ...nothing, elements: [object('a', '')] }).add, [object('a', '')]);
});

test('additions keep the order of the wanted objects', () => {
  fc.assert(
    fc.property(anyObjects(), anyObjects(), (have, want) => {
      const { add } = diff(have, want);
      const places = add.map((one) => [...want.constants, ...want.elements].indexOf(one));
      assert.deepEqual(
        places,
        places.toSorted((a, b) => a - b),
      );
    }),
  );
});

test('constants that are the same array are not compared', () => {
  const constants = new Proxy<readonly KernelObject[]>([], {
    get: () => assert.fail('looked into'),
  });
  assert.ok(isEmpty(diff({ ...nothing, constants }, { ...nothing, constants })));
});

function object(id: string, content: string): KernelObject {
  return { id, content, owner: null, service: null, foreign: false };
}

/** Any two sets of objects, or one and what is left of it when some of its elements go or change places. */
function anyChange(): fc.Arbitrary<readonly [KernelObjects, KernelObjects]> {
  const edited = anyObjects().chain((have) =>
    fc.shuffledSubarray([...have.elements]).map((elements) => [have, { ...have, elements }] as const),
  );
  const both = fc.oneof(edited, fc.tuple(anyObjects(), anyObjects()));
  return fc.tuple(both, fc.boolean()).map(([[one, other], turned]) => (turned ? [other, one] : [one, other]));
}

function anyObjects(): fc.Arbitrary<KernelObjects> {
  const some = (prefix: string) =>
    fc
      .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.constantFrom('', 'x', 'y')), {
        selector: ([id]) => id,
      })
      .map((list) => list.map(([id, content]) => object(`${prefix}${id}`, content)));
  return fc.record({ constants: some('c'), elements: some('e'), needs: fc.constant(null) });
}

test('an element equals another exactly if its id is the same', () => {
  const places = { guard: 'raw', input: 'mangle', egress: 'mangle' } as const;
  const dialects: Dialect[] = [nftables(plain), xtables({ ...plain, places, fragments: true })];
  const sources = ['10.0.0.0/8', '10.0.0.0/16'].map(parsePrefix);
  const ranged = manyVips(1, 1).map((vip) => ({
    ...vip,
    ports: vip.ports.map((port) => ({ ...port, sources })),
  }));
  for (const { render } of dialects)
    fc.assert(
      fc.property(anyVips(3), anyVips(3), (one, other) => {
        const needs = needsOf([...one, ...other, ...ranged]);
        const elements = [one, other, ranged].flatMap((vips) => render(stateOf(vips, needs)).elements);
        const larger = { ...needs, capacities: { ...needs.capacities, ports4: 1 << 20, ports6: 1 << 20 } };
        elements.push(...render(stateOf(one, larger)).elements);
        for (const a of elements)
          for (const b of elements) assert.equal(a.equals?.(b), a.id === b.id, `${a.id} ${b.id}`);
      }),
    );
});
