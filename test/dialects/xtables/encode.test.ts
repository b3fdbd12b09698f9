// A delta -> messages of ipset. One encoder serves an agent's whole life.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Transaction } from '../../../src/dialects/dialect.ts';
import { xtables } from '../../../src/dialects/xtables/dialect.ts';
import type { XtObject } from '../../../src/dialects/xtables/objects.ts';
import type { XtOptions } from '../../../src/dialects/xtables/ruleset.ts';
import { anyOptions, anyVips, deltaOf, nothing, stateOf } from '../arbitraries.ts';

const plain: Omit<XtOptions, 'counters' | 'echo' | 'observe'> = {
  places: { guard: 'raw', input: 'mangle', egress: 'mangle' },
  fragments: true,
  localAddresses: true,
};

/** All that is sent; a table is given by its object. */
function sent({ steps, tables = [], after = [] }: Transaction<XtObject>): unknown {
  return { steps, tables: tables.map(({ object }) => object), after };
}

test('an encoded change neither depends on an earlier one nor alters it', () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), anyOptions(), (before, after, options) => {
      const used = xtables({ ...plain, ...options });
      const have = used.render(stateOf(before));
      const want = used.render(stateOf(after));
      const first = used.encode(deltaOf(nothing, have));
      const kept = structuredClone(sent(first));
      const delta = deltaOf(have, want);
      const fresh = xtables({ ...plain, ...options });
      assert.deepEqual(sent(used.encode(delta)), sent(fresh.encode(delta)));
      assert.deepEqual(sent(first), kept);
    }),
  );
});
