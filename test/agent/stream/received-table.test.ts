// A received table ends equal to the controller's, or is left unchanged if what arrived is wrong.
import { deepEqual, equal, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Change, ReceivedTable } from '../../../src/agent/stream/received-table.ts';
import { canonicalJson, Digests } from '../../../src/protocol/digest.ts';
import type { Page, Synced } from '../../../src/protocol/messages.ts';
import { FrameError } from '../../../src/protocol/shape.ts';
import { type Address, compareAddresses, parseAddress } from '../../../src/state/address.ts';
import type { VirtualIp } from '../../../src/state/virtual-ip.ts';
import { anyVips } from '../../dialects/arbitraries.ts';

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

function tableOf(vips: readonly VirtualIp[]): ReceivedTable<'rules'> {
  const table = new ReceivedTable('rules', hash);
  table.restore(vips);
  return table;
}

function digestsOf(vips: readonly VirtualIp[]): Digests {
  const digests = new Digests(hash);
  for (const vip of vips) digests.set(vip);
  return digests;
}

/** What a controller with `truth` answers to the digests of a table: pages of at most `size`, then synced. */
function answer(
  truth: readonly VirtualIp[],
  table: ReceivedTable<'rules'>,
  size: number,
): [Page<'rules'>[], Synced] {
  const digests = digestsOf(truth);
  const buckets = digests.differing(table.summary);
  const set = truth.filter((vip) => buckets.includes(digests.bucketOf(vip.address)));
  const pages: Page<'rules'>[] = [{ type: 'page', table: 'rules', buckets, set: set.slice(0, size) }];
  for (let at = size; at < set.length; at += size)
    pages.push({ type: 'page', table: 'rules', buckets, set: set.slice(at, at + size) });
  return [pages, { type: 'synced', table: 'rules', seq: 1, count: truth.length, digest: digests.total() }];
}

/** As texts, in order: random VIPs have no prototype, received ones may. */
const sorted = (vips: Iterable<VirtualIp>): string[] =>
  [...vips].sort((a, b) => compareAddresses(a.address, b.address)).map((vip) => canonicalJson(vip));

function held(table: ReceivedTable<'rules'>): string[] {
  return sorted(table.resources.values());
}

/** The VIPs of `before` with only the change applied. */
function followed(before: readonly VirtualIp[], change: Change): string[] {
  const map = new Map(before.map((vip) => [vip.address, vip]));
  for (const key of change.remove) map.delete(key);
  for (const vip of change.set as readonly VirtualIp[]) map.set(vip.address, vip);
  return sorted(map.values());
}

const pageSize = fc.integer({ min: 1, max: 5 });

test('the pages of differing buckets make any table equal to the controller’s, as its change says', () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), pageSize, (before, truth, size) => {
      const table = tableOf(before);
      const [pages, synced] = answer(truth, table, size);
      for (const page of pages) table.page(page);
      const change = table.synced(synced, 0);
      deepEqual(held(table), sorted(truth));
      deepEqual(change && followed(before, change), sorted(truth));
      deepEqual(table.summary, digestsOf(truth).summary());
    }),
  );
});

test('an unchanged VIP is no change, even if its bucket was sent', () => {
  fc.assert(
    fc.property(anyVips(), (truth) => {
      const table = tableOf(truth);
      const [, synced] = answer(truth, table, 5);
      const digests = digestsOf(truth);
      const buckets = truth.map((vip) => digests.bucketOf(vip.address));
      table.page({ type: 'page', table: 'rules', buckets, set: structuredClone(truth) });
      const change = table.synced(synced, 0);
      deepEqual([change?.set, change?.remove], [[], []]);
    }),
  );
});

test('pages with a wrong digest or count leave the table unchanged, and right ones then apply', () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), pageSize, (before, truth, size) => {
      const table = tableOf(before);
      const [pages, synced] = answer(truth, table, size);
      for (const page of pages) table.page(page);
      equal(table.synced({ ...synced, digest: '0'.repeat(16) }, 0), undefined);
      for (const page of pages) table.page(page);
      equal(table.synced({ ...synced, count: synced.count + 1 }, 0), undefined);
      deepEqual(held(table), sorted(before));
      deepEqual(table.summary, digestsOf(before).summary());
      for (const page of pages) table.page(page);
      table.synced(synced, 0);
      deepEqual(held(table), sorted(truth));
    }),
  );
});

test('the pages of a stream that ended are dropped', () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), anyVips(), (before, lost, truth) => {
      const table = tableOf(before);
      for (const page of answer(lost, table, 3)[0]) table.page(page);
      table.restart();
      const [pages, synced] = answer(truth, table, 3);
      for (const page of pages) table.page(page);
      table.synced(synced, 0);
      deepEqual(held(table), sorted(truth));
    }),
  );
});

test('consecutive deltas are applied; one with a gap, a falling number or before synced is not', () => {
  fc.assert(
    fc.property(fc.array(anyVips(), { minLength: 1, maxLength: 5 }), (truths) => {
      const table = tableOf([]);
      equal(
        table.delta({ type: 'delta', table: 'rules', from: 0, to: 1, set: [], remove: [] }, 0),
        undefined,
      );
      table.synced({ ...answer([], table, 5)[1], seq: 10 }, 0);
      let before: readonly VirtualIp[] = [];
      for (const [index, truth] of truths.entries()) {
        const kept = new Set<Address>(truth.map((vip) => vip.address));
        const remove = before.map((vip) => vip.address).filter((key) => !kept.has(key));
        const delta = { type: 'delta', table: 'rules', set: truth, remove } as const;
        equal(table.delta({ ...delta, from: 11 + index, to: 12 + index }, 0), undefined);
        equal(table.delta({ ...delta, from: 10 + index, to: 9 + index }, 0), undefined);
        deepEqual(held(table), sorted(before));
        const change = table.delta({ ...delta, from: 10 + index, to: 11 + index }, 0);
        equal(change?.seq, 11 + index);
        deepEqual(held(table), sorted(truth));
        before = truth;
      }
    }),
  );
});

test('digests computed late are equal to digests updated with every change', async () => {
  const change = fc.record({ set: anyVips(), remove: anyVips(), asked: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      const table = tableOf([]);
      const eager = new Digests(hash);
      table.synced(answer([], table, 5)[1], 0);
      for (const [index, { set, remove, asked }] of changes.entries()) {
        const keys = remove.map((vip) => vip.address);
        table.delta({ type: 'delta', table: 'rules', from: index + 1, to: index + 2, set, remove: keys }, 0);
        for (const key of keys) eager.delete(key);
        for (const vip of set) eager.set(vip);
        if (asked) deepEqual(table.summary, eager.summary());
      }
      deepEqual(table.summary, eager.summary());
    }),
  );
  const many = Array.from({ length: 1000 }, (_, index) => {
    return { address: parseAddress(`10.9.${index >> 8}.${index & 255}`), ...bare };
  });
  const table = tableOf(many);
  await new Promise((resolve) => setImmediate(resolve));
  deepEqual(table.summary, digestsOf(many).summary());
});

const bare = { filtered: true, egress: false, ports: [] };

test('pages without a synced are limited, even if they repeat a VIP, and a synced resets the limit', () => {
  const table = tableOf([]);
  const bare = { address: parseAddress('10.9.0.1'), term: { generation: 1, n: 1 } };
  const placements = new ReceivedTable('placements', hash);
  const page = { type: 'page', table: 'placements', buckets: [1], set: Array(100_000).fill(bare) } as const;
  for (let n = 0; n < 5; n++) placements.page(page);
  throws(() => placements.page(page), FrameError);
  // A refused page is not kept either.
  for (let n = 0; n < 5; n++) placements.page(page);
  const [pages, synced] = answer([], table, 5);
  for (const one of pages) table.page(one);
  placements.synced({ ...synced, table: 'placements' }, 0);
  for (let n = 0; n < 5; n++) placements.page(page);
});
