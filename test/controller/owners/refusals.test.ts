// What is kept of the refusals of a node while it is away and when it is back.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { type KeptRefusal, Refusals } from '../../../src/controller/owners/refusals.ts';
import { parseAddress } from '../../../src/state/address.ts';

const [one, two] = ['10.77.0.1', '10.77.0.2'].map(parseAddress) as [KeptRefusal['key'], KeptRefusal['key']];

const refusal = (
  key: KeptRefusal['key'],
  table: KeptRefusal['table'] = 'rules',
  code: KeptRefusal['code'] = 'AddressConflict',
): KeptRefusal => ({ table, key, code, reason: '' });

function refusals(...all: readonly KeptRefusal[]): Refusals {
  const made = new Refusals();
  for (const kept of all) made.add(kept);
  return made;
}

test('only refusals of own addresses outlast the connection', () => {
  const own = refusal(one);
  const all = refusals(own, refusal(one, 'placements'), refusal(two, 'rules', 'KernelRefused'));
  all.begin();
  deepEqual([...all.values()], [own]);
  equal(all.areNone, false);
});

test('of refusals of own addresses those end that are not repeated', () => {
  const all = refusals(refusal(one), refusal(two));
  deepEqual(all.confirm(), []);
  all.begin();
  all.begin();
  all.add(refusal(two));
  deepEqual(all.confirm(), [one]);
  deepEqual([...all.values()], [refusal(two)]);
  deepEqual(all.confirm(), []);
});

test('a refusal that is taken back is not confirmed', () => {
  const all = refusals(refusal(one));
  all.begin();
  all.delete('rules', one);
  deepEqual([all.confirm(), all.areNone, all.of('rules', one)], [[], true, undefined]);
});
