// What all VIPs together need of the table: a set grows before it is full and never shrinks, and needs that
// do not change stay the same object.
import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Census } from '../../../src/agent/rules/census.ts';
import { type Address, formatAddress } from '../../../src/state/address.ts';
import type { Needs } from '../../../src/state/desired-state.ts';
import type { VirtualIp } from '../../../src/state/virtual-ip.ts';
import { anyVip, needsOf, roomy } from '../../dialects/arbitraries.ts';
import { port, sources, vip } from '../../kernel/own-kernel.ts';

const nth = (n: number): Address => formatAddress(Uint8Array.of(10, 50, n >> 8, n & 255));
const large: Needs = {
  sourceLengths4: [24],
  sourceLengths6: [64],
  egress: true,
  forward: true,
  capacities: { ...roomy, vips4: 4096 },
};

function put(census: Census, ...vips: readonly VirtualIp[]): void {
  for (const one of vips) census.set(one.address, one);
}

test('the census has the needs of its present VIPs, whatever it counted before', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyVip(), fc.boolean())), (steps) => {
      const census = new Census(64);
      const left = new Map<Address, VirtualIp>();
      for (const [one, stays] of steps) {
        census.set(one.address, stays ? one : undefined);
        if (stays) left.set(one.address, one);
        else left.delete(one.address);
      }
      deepEqual({ ...census.needs(), capacities: roomy }, needsOf([...left.values()]));
    }),
  );
});

test('unchanged needs are the same object, so that a diff need not compare them', () => {
  const census = new Census();
  put(census, vip('10.50.0.1', [port(80)]));
  const before = census.needs();
  put(census, vip('10.50.0.1', [port(80), port(81)]));
  equal(census.needs(), before);
  put(census, vip('10.50.0.1', [port(80, sources('192.0.2.0/24'))]));
  notEqual(census.needs(), before);
});

test('a set that would be too small grows to at least twice the need, and does not shrink again', () => {
  const census = new Census();
  for (let n = 1; n <= 1024; n++) put(census, vip(nth(n), []));
  equal(census.needs().capacities.vips4, 1024);
  put(census, vip(nth(1025), []));
  equal(census.needs().capacities.vips4, 4096);
  for (let n = 2; n <= 1025; n++) census.set(nth(n), undefined);
  equal(census.needs().capacities.vips4, 4096);
});

test('a set that the kernel already has is not made smaller, before or after the needs were read', () => {
  for (const asksFirst of [false, true]) {
    const census = new Census();
    if (asksFirst) census.needs();
    census.keep(large);
    equal(census.needs().capacities.vips4, 4096);
    census.release();
    equal(census.needs().capacities.vips4, 4096);
  }
});

test('the needs of the table in the kernel are kept until release, then only those of the VIPs', () => {
  const census = new Census();
  put(census, vip('10.50.0.1', [port(80, { delivery: 'host', ...sources('192.0.2.7/32') })]));
  census.keep(large);
  const kept = census.needs();
  deepEqual(
    [kept.sourceLengths4, kept.sourceLengths6, kept.egress, kept.forward],
    [[24, 32], [64], true, true],
  );
  census.release();
  const left = census.needs();
  deepEqual([left.sourceLengths4, left.sourceLengths6, left.egress, left.forward], [[32], [], false, false]);
});

test('with a fixed size no set grows', () => {
  const census = new Census(1);
  put(census, vip('10.50.0.1', [port(80)]), vip('10.50.0.2', [port(80)]));
  census.keep(large);
  equal(census.needs().capacities.vips4, 1);
});

test('an unfiltered VIP, a /0 source and a source of the other family need nothing', () => {
  const census = new Census();
  put(census, vip('10.50.0.1', [port(80)], { filtered: false, egress: true }));
  put(census, vip('10.50.0.2', [port(80, { delivery: 'host', ...sources('0.0.0.0/0', 'fd00::/8') })]));
  const { sourceLengths4, sourceLengths6, egress, forward } = census.needs();
  deepEqual([sourceLengths4, sourceLengths6, egress, forward], [[], [], false, false]);
});
