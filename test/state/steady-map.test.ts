import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SteadyMap } from '../../src/state/steady-map.ts';

const key = fc.integer({ min: 0, max: 30 });
const step = fc.oneof(
  fc.record({ does: fc.constant('set' as const), key, value: fc.record({ n: fc.nat(9) }) }),
  fc.record({ does: fc.constant('delete' as const), key }),
  fc.record({ does: fc.constant('churn' as const), key, times: fc.nat(2500) }),
  fc.record({ does: fc.constant('remove many' as const), from: fc.nat(1e6), count: fc.nat(1500) }),
  fc.record({ does: fc.constant('clear' as const) }),
);

test('a SteadyMap behaves as a Map after any operations', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const [steady, plain] = [new SteadyMap<number, object>(), new Map<number, object>()];
      const both = [steady, plain];
      for (const done of steps) {
        for (const map of both) if (done.does === 'set') map.set(done.key, done.value);
        if (done.does === 'delete') assert.equal(steady.delete(done.key), plain.delete(done.key));
        if (done.does === 'clear') for (const map of both) map.clear();
        if (done.does === 'churn')
          for (const map of both)
            for (let n = 0; n < done.times; n++) map.set(done.key, done).delete(done.key);
        if (done.does === 'remove many') {
          const many = Array.from({ length: done.count }, (_, n) => 1000 + done.from + n);
          for (const map of both) for (const one of many) map.set(one, done);
          for (const map of both) for (const one of many) map.delete(one);
        }
        same(steady, plain);
      }
    }),
    { numRuns: 200 },
  );
});

function same(steady: SteadyMap<number, object>, plain: ReadonlyMap<number, object>): void {
  const sorted = <T>(all: Iterable<T>): T[] => [...all].sort();
  assert.equal(steady.size, plain.size);
  assert.deepEqual(sorted(steady.keys()), sorted(plain.keys()));
  assert.equal([...steady.values()].length, plain.size);
  assert.deepEqual(new Map([...steady]), new Map([...plain]));
  const visited = new Map<number, object>();
  steady.forEach((value, one) => {
    visited.set(one, value);
  });
  assert.deepEqual(visited, plain);
  for (let one = 0; one <= 30; one++) {
    assert.equal(steady.has(one), plain.has(one));
    assert.equal(steady.get(one), plain.get(one));
  }
}

test('a SteadyMap keeps the entry of a key that comes and goes, and few of many deleted ones', () => {
  const entries = (map: Map<string, object>): number => [...Map.prototype.keys.call(map)].length;
  const map = new SteadyMap<string, object>();
  for (let n = 0; n < 5000; n++) {
    map.set('flaps', {});
    map.delete('flaps');
  }
  assert.equal(entries(map), 1);
  for (let n = 0; n < 10_000; n++) map.set(`once ${n}`, {});
  for (let n = 0; n < 10_000; n++) map.delete(`once ${n}`);
  assert.equal(map.size, 0);
  assert.ok(entries(map) <= 2049, `${entries(map)} entries stay`);
  // So it is if one of them flaps, and fewer than are remembered go in between.
  for (let n = 0; n < 5000; n++) {
    map.set(`again ${n}`, {});
    map.delete(`again ${n}`);
    for (let flaps = 0; flaps < 2; flaps++) map.set('flaps', {}).delete('flaps');
  }
  assert.ok(entries(map) <= 2049, `${entries(map)} entries stay`);
});

test('a key that has returned stays in its place, however many others come and go', () => {
  const map = new SteadyMap<string, object>();
  for (const one of ['a', 'flaps', 'b']) map.set(one, {});
  for (let n = 0; n < 5000; n++) {
    map.delete('flaps');
    map.set('flaps', {});
  }
  assert.deepEqual([...map.keys()], ['a', 'flaps', 'b']);
  for (let n = 0; n < 5000; n++) map.set(`once ${n}`, {}).delete(`once ${n}`);
  assert.deepEqual([[...map.keys()], map.size], [['a', 'flaps', 'b'], 3]);
});

test('an iterator skips an entry that is deleted during the iteration', () => {
  const walks = [
    (map: Map<string, object>) => map.keys(),
    (map: Map<string, object>) => map.values(),
    (map: Map<string, object>) => map.entries(),
  ];
  for (const walk of walks) {
    const map = new SteadyMap<string, object>();
    for (const one of ['a', 'b', 'c']) map.set(one, { one });
    const found = walk(map);
    found.next();
    map.delete('b');
    assert.equal([...found].length, 1);
  }
});
