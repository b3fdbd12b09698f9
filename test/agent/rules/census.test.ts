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

/** A VIP with so many ports, or with so many ranges of one port. */
const withPorts = (family: 4 | 6, count: number, from = 1): VirtualIp =>
  vip(
    family === 4 ? '10.50.0.1' : 'fd00::1',
    Array.from({ length: count }, (_, n) => port(from + n, { delivery: 'host' })),
  );
const withSources = (family: 4 | 6, count: number): VirtualIp => {
  const range = (n: number) =>
    family === 4 ? `192.${n >> 8}.${n & 255}.0/24` : `fd00:${n.toString(16)}::/64`;
  return vip(withPorts(family, 0).address, [
    port(80, sources(...Array.from({ length: count }, (_, n) => range(n)))),
  ]);
};
const least = { vips4: 1024, vips6: 1024, ports4: 1024, ports6: 1024, sources4: 1024, sources6: 1024 };
const none = { vips4: 0, vips6: 0, ports4: 0, ports6: 0, sources4: 0, sources6: 0 };

test('each set has the size of what it holds, before and after the needs were read', () => {
  for (const family of [4, 6] as const)
    for (const [kind, holds] of Object.entries({ ports: withPorts, sources: withSources }))
      for (const asksFirst of [false, true])
        for (const [count, size] of [
          [1024, 1024],
          [1025, 4096],
          [1400, 4096],
        ] as const) {
          const census = new Census();
          if (asksFirst) census.needs();
          put(census, holds(family, count));
          deepEqual(census.needs().capacities, { ...least, [`${kind}${family}`]: size });
        }
});

test('the former elements of a VIP have room beside its new ones until the kernel has removed them', () => {
  for (const family of [4, 6] as const) {
    const changed = (settles: boolean, ...vips: readonly VirtualIp[]) => {
      const census = new Census();
      put(census, ...vips.slice(0, 1));
      census.needs();
      put(census, ...vips.slice(1));
      if (settles) census.settle();
      return census.needs().capacities;
    };
    const [before, after] = [withPorts(family, 800), withPorts(family, 800, 1000)];
    deepEqual(changed(false, before, after), { ...least, [`ports${family}`]: 4096 });
    deepEqual(changed(true, before, after), least);
    deepEqual(changed(false, before, before), least);
    deepEqual(changed(false, { ...before, filtered: false }, after), least);
    deepEqual(changed(false, withSources(family, 800), withSources(family, 700)), {
      ...least,
      [`sources${family}`]: 4096,
    });
  }
});

test('the address of a VIP needs room twice only if the VIP goes or is not filtered any more', () => {
  const addressOf = { 4: nth, 6: (n: number) => `fd00::${n.toString(16)}` } as const;
  const sizes = (change: (one: VirtualIp, index: number) => VirtualIp | undefined): number[] =>
    ([4, 6] as const).map((family) => {
      const census = new Census();
      const all = Array.from({ length: 1024 }, (_, n) => vip(addressOf[family](n + 1), []));
      put(census, ...all);
      census.needs();
      for (const [index, one] of all.entries()) census.set(one.address, change(one, index));
      put(census, vip(addressOf[family](2000), []));
      return census.needs().capacities[`vips${family}`];
    });
  const goes = () => undefined;
  const opens = (one: VirtualIp) => ({ ...one, filtered: false });
  const oneGoes = (one: VirtualIp, index: number) => (index === 0 ? undefined : { ...one });
  for (const change of [goes, opens, oneGoes]) deepEqual(sizes(change), [4096, 4096]);
  const stays = new Census();
  for (let round = 0; round < 3; round++)
    for (let n = 1; n <= 1024; n++) put(stays, vip(nth(n), [], { egress: round === 1 }));
  equal(stays.needs().capacities.vips4, 1024);
});

test('what is reserved has room beside the VIPs until the next reservation', () => {
  for (const size of Object.keys(none)) {
    const census = new Census();
    census.needs();
    census.reserve({ ...none, [size]: 1025 });
    deepEqual(census.needs().capacities, { ...least, [size]: 4096 });
    const other = new Census();
    other.reserve({ ...none, [size]: 1025 });
    other.reserve(none);
    deepEqual(other.needs().capacities, least);
  }
  const census = new Census();
  put(census, withPorts(4, 400));
  put(census, withPorts(4, 400, 1000));
  equal(census.needs().capacities.ports4, 1024);
  census.reserve({ ...none, ports4: 225 });
  equal(census.needs().capacities.ports4, 4096);
});

test('needs follow every change of a VIP after they were read', () => {
  const census = new Census();
  const said = (one: VirtualIp) => {
    put(census, one);
    const { sourceLengths4, egress, forward } = census.needs();
    return [sourceLengths4, egress, forward];
  };
  const toHost = (...ranges: string[]) => port(80, { delivery: 'host', ...sources(...ranges) });
  const bare = vip('10.50.0.1', []);
  deepEqual(said(bare), [[], false, false]);
  deepEqual(said({ ...bare, egress: true }), [[], true, false]);
  deepEqual(said({ ...bare, ports: [port(80), port(81)] }), [[], false, true]);
  deepEqual(said({ ...bare, ports: [port(80)] }), [[], false, true]);
  deepEqual(said({ ...bare, ports: [toHost('192.0.2.0/24')] }), [[24], false, false]);
  deepEqual(said({ ...bare, ports: [toHost('192.0.2.0/25')] }), [[25], false, false]);
  deepEqual(said({ ...bare, ports: [toHost('192.0.2.0/25', '198.51.0.0/16')] }), [[16, 25], false, false]);
  deepEqual(said(bare), [[], false, false]);
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

test('a release without needs of the kernel changes nothing', () => {
  const census = new Census();
  const before = census.needs();
  census.release();
  equal(census.needs(), before);
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
