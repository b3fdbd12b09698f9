// A change of many VIPs is split between VIPs, in an order in which none is wrongly open or closed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftables } from '../../../src/dialects/nftables/dialect.ts';
import type { ElementObject } from '../../../src/dialects/nftables/objects.ts';
import { batchElements } from '../../../src/dialects/nftables/portions.ts';
import { parsePort } from '../../../src/state/port.ts';
import { deltaOf, needsOf, nothing, plain, stateOf } from '../arbitraries.ts';
import { large, manyVips } from './many.ts';

test('a large cold load commits all ports, then rules and base chains, then every gate', () => {
  const dialect = nftables(plain);
  const vips = manyVips(12_000, 3);
  const want = dialect.render(stateOf(vips, needsOf(vips, large)));
  const { steps } = dialect.encode(deltaOf(nothing, want));
  const kinds = steps.map(({ records }) => {
    const objects = records.flatMap((record) => record.objects);
    const elements = objects.filter((object) => object.kind === 'element');
    assert.ok(elements.length < batchElements + 5, `${elements.length} elements in one batch`);
    const sets = elements.map(({ set }) => (set.startsWith('vip') ? 'gates' : 'ports'));
    return [...new Set([...objects.map(({ kind }) => kind), ...sets])].filter((kind) => kind !== 'element');
  });
  const rules = kinds.findIndex((of) => of.includes('chain'));
  const [before, behind] = [kinds.slice(1, rules), kinds.slice(rules + 1)];
  assert.deepEqual(kinds[0], ['table', 'set']);
  assert.deepEqual(new Set(before.flat()), new Set(['ports']));
  assert.deepEqual(kinds[rules], ['chain']);
  assert.deepEqual(new Set(behind.flat()), new Set(['gates']));
  assert.ok(before.length >= 9 && behind.length >= 2, `${before.length} and ${behind.length} portions`);
});

test('each of many VIPs changes in one batch of several, whether ports go or only come', () => {
  const dialect = nftables(plain);
  const vips = manyVips(2000, 3);
  const needs = needsOf(vips, large);
  const later = manyVips(1, 3)[0]?.ports.map((one) => ({ ...one, port: parsePort(one.port + 10) }));
  assert.ok(later !== undefined);
  const moved = vips.map((vip) => ({ ...vip, ports: later }));
  const more = vips.map((vip) => ({ ...vip, ports: [...vip.ports, ...later] }));
  for (const after of [moved, more]) {
    const delta = deltaOf(dialect.render(stateOf(vips, needs)), dialect.render(stateOf(after, needs)));
    const { steps } = dialect.encode(delta);
    const owners = steps.flatMap(({ records }) => [
      ...new Set(records.flatMap(({ objects }) => objects.map(({ owner }) => owner))),
    ]);
    assert.ok(steps.filter(({ records }) => records.length > 0).length > 1);
    assert.deepEqual(owners.toSorted(), vips.map(({ address }) => address).toSorted());
  }
});

test('many VIPs are removed in portions, each from its gate before its ports', () => {
  const dialect = nftables(plain);
  const vips = manyVips(3000, 3);
  const needs = needsOf(vips, large);
  const { remove, add } = deltaOf(
    dialect.render(stateOf(vips, needs)),
    dialect.render(stateOf(vips.slice(-1), needs)),
  );
  const sets = dialect.encode({ remove, add }).steps.map(({ records }) => {
    const elements = records.flatMap(({ objects }) => objects) as ElementObject[];
    assert.ok(elements.length < batchElements + 5, `${elements.length} elements in one batch`);
    return [...new Set(elements.map(({ set }) => set.startsWith('vip')))];
  });
  assert.deepEqual(sets.flat(), [true, false, false, false]);
});
