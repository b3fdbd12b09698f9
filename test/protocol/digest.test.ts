// Digests after any changes, against the sums of what is left, computed anew with integers of any size.

import { deepEqual, equal } from 'node:assert/strict';
import { hash as hashOf } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesOfPort, canonicalJson, Digests } from '../../src/protocol/digest.ts';
import { itemsOf } from '../../src/protocol/items.ts';
import type { Address, Prefix } from '../../src/state/address.ts';
import { parsePort } from '../../src/state/port.ts';
import { parseServiceKey } from '../../src/state/service.ts';
import type { Placement, VipPort } from '../../src/state/virtual-ip.ts';

/** Few buckets, the first and the last among them, and hashes with a half of zeros or of ones. */
function hash(text: string): string {
  const sha = hashOf('sha256', text);
  const at = Number.parseInt(sha.slice(-2), 16);
  const half = ['0'.repeat(8), 'f'.repeat(8), sha.slice(0, 8)][at % 3] ?? '';
  const bucket = ['00', '01', 'ff'][at % 3] ?? '';
  return text.startsWith('{')
    ? [half + sha.slice(8, 16), sha.slice(0, 8) + half][at >> 7] + sha
    : bucket + sha;
}

const place = (host: number, n: number): Placement => ({
  address: `10.0.0.${host}` as Address,
  term: { generation: 1, n },
});
const step = fc.record({ host: fc.integer({ min: 0, max: 12 }), n: fc.nat(3), isGone: fc.boolean() });

/** The sums of the buckets, as 16 digits each. */
function sums(all: Iterable<Placement>): string[] {
  const made = Array<bigint>(256).fill(0n);
  for (const one of all) {
    const bucket = Number.parseInt(hash(one.address).slice(0, 2), 16);
    made[bucket] = (made[bucket] ?? 0n) ^ BigInt(`0x${hash(canonicalJson(one)).slice(0, 16)}`);
  }
  return made.map((sum) => sum.toString(16).padStart(16, '0'));
}

test('the digests of a table depend on what is in it, and not on how it came there', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.array(step, { maxLength: 10 }), (steps, others) => {
      const [left, right] = [steps, others].map((all) => {
        const [digests, content] = [new Digests(hash), new Map<Address, Placement>()];
        for (const { host, n, isGone } of all) {
          const one = place(host, n);
          if (isGone) digests.delete(one.address);
          else digests.set(one);
          // What was read of the digests before the next change must not stay.
          digests.summary();
          if (isGone) content.delete(one.address);
          else content.set(one.address, one);
        }
        return { digests, content, sums: sums(content.values()) };
      });
      if (left === undefined || right === undefined) throw new TypeError('two');
      const full = new Set([...left.content.keys()].map((key) => left.digests.bucketOf(key)));
      const digests = Object.fromEntries([...full].map((bucket) => [bucket, left.sums[bucket]]));
      deepEqual(left.digests.summary(), { count: left.content.size, digests });
      equal(left.digests.total(), hash(left.sums.join('')).slice(0, 16));
      const differing = left.sums.flatMap((sum, bucket) => (sum === right.sums[bucket] ? [] : [bucket]));
      deepEqual(left.digests.differing(right.digests.summary()), differing);
    }),
    { numRuns: 300 },
  );
});

test('the bytes and items of a port are those that it adds to its VIP', () => {
  const service = parseServiceKey('demo/web');
  const rest = { protocol: 'SCTP', service, delivery: 'forward' } as const;
  const ranges = ['10.0.0.0/8', 'fd00::/8'] as Prefix[];
  const ports: readonly VipPort[] = [null, [], ranges].map((sources, index) => {
    return { ...rest, port: parsePort(9 * 10 ** index), sources };
  });
  const vip = { address: 'fd77::1' as Address, filtered: true, egress: false, ports: [] };
  const bytes = ports.map((port) => bytesOfPort(port));
  const bare = canonicalJson(vip).length;
  // A comma is counted for each port and each range, and the last of them needs none.
  const commas = 1 + ports.filter(({ sources }) => sources !== null && sources.length > 0).length;
  equal(canonicalJson({ ...vip, ports }).length + commas, bare + bytes.reduce((sum, one) => sum + one, 0));
  deepEqual([itemsOf(place(1, 1)), itemsOf(vip), itemsOf({ ...vip, ports })], [1, 1, 6]);
});
