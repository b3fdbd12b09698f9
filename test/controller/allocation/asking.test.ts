// Whatever Services come, change and go: none stays refused that could have its addresses.

import { ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Allocator } from '../../../src/controller/allocate.ts';
import { parsePools } from '../../../src/controller/allocation/pools.ts';
import type { ServiceManifest } from '../../../src/controller/service.ts';
import { readDocument } from '../../../src/controller/sources/manifest.ts';
import type { Address } from '../../../src/state/address.ts';
import type { ServiceKey } from '../../../src/state/service.ts';
import { serviceObject } from '../fixture.ts';

const four = ['10.77.0.1', '10.77.0.2', '10.77.0.3'];
const six = 'fd77::1';
const pools = parsePools(['p=10.77.0.1-10.77.0.3', `${six}-${six}`]);

const key = fc.record({ name: fc.constantFrom('a', 'b', 'c'), namespace: fc.constantFrom('x', 'y', 'z') });
const wish = fc.record({
  asks: fc.constantFrom([], [], [], [six], ...four.map((one) => [one]), four.slice(0, 2), [four[2], six]),
  sharingKey: fc.constantFrom(null, null, 'k', 'l'),
  ports: fc.constantFrom([80], [81], [80, 81], []),
  policy: fc.constantFrom('SingleStack', 'PreferDualStack', 'RequireDualStack'),
});
const step = fc.record({
  set: fc.uniqueArray(fc.tuple(key, wish), { maxLength: 3, selector: ([one]) => keyOf(one) }),
  remove: fc.array(key, { maxLength: 2 }),
  /** Whether Services let go of the addresses that they had before. */
  letGo: fc.boolean(),
  /** What an absent node may have from now on. */
  held: fc.subarray([...four, six], { maxLength: 1 }),
});

type Named = typeof key extends fc.Arbitrary<infer T> ? T : never;
type Wish = typeof wish extends fc.Arbitrary<infer T> ? T : never;

const keyOf = ({ namespace, name }: Named): ServiceKey => `${namespace}/${name}` as ServiceKey;

function manifest(
  { namespace, name }: Named,
  { asks, sharingKey, ports, policy }: Wish,
): readonly ServiceManifest[] {
  const annotations = {
    ...(asks.length > 0 && { 'vipward.io/addresses': asks.join(',') }),
    ...(sharingKey !== null && { 'vipward.io/sharing-key': sharingKey }),
  };
  const spec = { ipFamilyPolicy: policy };
  return readDocument(serviceObject(name, { namespace, ports, annotations, spec })).services;
}

test('no Service stays refused that could have addresses, and each refusal names a holder', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const allocator = new Allocator(pools, new Map());
      let held: readonly string[] = [];
      allocator.isHeld = (address) => held.includes(address);
      for (const { set, remove, letGo, held: next } of steps) {
        const back = held.filter((one) => !next.includes(one));
        held = next;
        allocator.freed(back as Address[]);
        const services = set.flatMap(([one, how]) => manifest(one, how));
        const kept = new Set(services.map((one) => one.key));
        allocator.apply({ set: services, remove: remove.map(keyOf).filter((one) => !kept.has(one)) });
        if (letGo) allocator.apply({ set: [], remove: [], gone: new Map(allocator.outgoing) });
        for (const [one, { reason, message }] of allocator.refusals) {
          const service = allocator.services.get(one);
          ok(service !== undefined && 'refusal' in allocator.outcomeOf(service), `${one}: ${message}`);
          const [, address, holder] = /^(\S+) belongs to (\S+): /.exec(message) ?? [];
          if (reason === 'AddressTaken')
            ok(allocator.heldBy(holder as ServiceKey).includes(address as Address), message);
        }
      }
    }),
    { numRuns: 1000 },
  );
});
