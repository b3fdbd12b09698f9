// Which node gets a VIP.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Candidate, chooseNode, seedOf } from '../../src/controller/place.ts';
import { type Address, parseAddress } from '../../src/state/address.ts';

const candidate = (name: string, load: number): Candidate => ({ name, load, seed: seedOf(name) });
const address = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => parseAddress(text));

test('the numbers of VIPs of any two nodes differ by at most one, whatever the addresses', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(address, { maxLength: 80 }),
      fc.integer({ min: 1, max: 7 }),
      (addresses, count) => {
        const nodes = Array.from({ length: count }, (_, index) => {
          return { ...candidate(`node-${index}`, 0), load: 0 };
        });
        for (const vip of addresses) {
          const chosen = nodes.find(({ name }) => name === chooseNode(vip, nodes));
          ok(chosen !== undefined);
          chosen.load++;
        }
        const loads = nodes.map(({ load }) => load);
        ok(Math.max(...loads) - Math.min(...loads) <= 1, String(loads));
      },
    ),
  );
});

test('the choice does not depend on the order of the nodes', () => {
  const nodes = ['a', 'b', 'c', 'd'].map((name) => candidate(name, 3));
  fc.assert(
    fc.property(address, (vip) => equal(chooseNode(vip, nodes), chooseNode(vip, [...nodes].reverse()))),
  );
});

test('the preferred candidate is chosen whatever its load, and a missing one is not', () => {
  const vip = '10.0.0.1' as Address;
  const nodes = [candidate('full', 9), candidate('free', 0)];
  equal(chooseNode(vip, nodes, 'full'), 'full');
  equal(chooseNode(vip, nodes, 'away'), 'free');
  equal(chooseNode(vip, [], 'full'), null);
});

test('without candidates no node is chosen, and a loaded node is not chosen while another is free', () => {
  equal(chooseNode('10.0.0.1' as Address, []), null);
  const chosen = Array.from({ length: 50 }, (_, index) => {
    return chooseNode(`10.0.0.${index}` as Address, [candidate('full', 9), candidate('free', 0)]);
  });
  deepEqual(new Set(chosen), new Set(['free']));
});
