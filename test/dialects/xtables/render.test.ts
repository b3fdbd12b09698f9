// The rules on a kernel that cannot have all of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conntrack } from '../../../src/dialects/xtables/constants.ts';
import { xtables } from '../../../src/dialects/xtables/dialect.ts';
import type { Needs } from '../../../src/state/desired-state.ts';
import { roomy, stateOf } from '../arbitraries.ts';

const options = { fragments: true, localAddresses: true, counters: false, echo: true, observe: false };

test('on a kernel without a place for egress rules a VIP with egress is filtered as any other', () => {
  const tables = (egress: boolean, place: 'mangle' | null): unknown => {
    const needs: Needs = { sourceLengths4: [], sourceLengths6: [], forward: true, egress, capacities: roomy };
    const places = { guard: 'raw', input: 'mangle', egress: place } as const;
    const { constants } = xtables({ ...options, places }).render(stateOf([], needs));
    return constants.filter(({ kind }) => kind === 'table');
  };
  assert.deepEqual(tables(true, null), tables(false, null));
  assert.notDeepEqual(tables(true, 'mangle'), tables(false, 'mangle'));
});

test('without egress only NAT makes an answer', () => {
  const needs: Needs = {
    sourceLengths4: [],
    sourceLengths6: [],
    forward: true,
    egress: false,
    capacities: roomy,
  };
  const places = { guard: 'raw', input: 'mangle', egress: 'mangle' } as const;
  const { constants } = xtables({ ...options, places }).render(stateOf([], needs));
  const chains = constants.flatMap((object) => (object.kind === 'table' ? object.chains : []));
  /** The states of each match conntrack of a rule (struct xt_conntrack_mtinfo3). */
  const statesOf = (rule: Uint8Array): number[] =>
    [
      ...Buffer.from(rule)
        .toString('latin1')
        .matchAll(/conntrack\0{20}.{151}(.)/gs),
    ].map(([, state = '']) => state.charCodeAt(0));
  const states = chains.flatMap(({ rules }) => rules.map(({ bytes }) => statesOf(bytes)));
  const answers = states.filter(([state]) => state === Conntrack.ESTABLISHED);
  assert.deepEqual(answers, new Array(4).fill([Conntrack.ESTABLISHED, Conntrack.SNAT]));
});
