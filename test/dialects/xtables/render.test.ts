// The rules on a kernel that cannot have all of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xtables } from '../../../src/dialects/xtables/dialect.ts';
import type { Needs } from '../../../src/state/desired-state.ts';
import { roomy, stateOf } from '../arbitraries.ts';

test('on a kernel without a place for egress rules a VIP with egress is filtered as any other', () => {
  const options = { fragments: true, localAddresses: true, counters: false, echo: true, observe: false };
  const tables = (egress: boolean, place: 'mangle' | null): unknown => {
    const needs: Needs = { sourceLengths4: [], sourceLengths6: [], forward: true, egress, capacities: roomy };
    const places = { guard: 'raw', input: 'mangle', egress: place } as const;
    const { constants } = xtables({ ...options, places }).render(stateOf([], needs));
    return constants.filter(({ kind }) => kind === 'table');
  };
  assert.deepEqual(tables(true, null), tables(false, null));
  assert.notDeepEqual(tables(true, 'mangle'), tables(false, 'mangle'));
});
