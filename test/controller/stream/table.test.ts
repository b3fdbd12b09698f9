// A table of the stream by itself: versions, the frames of each step, snapshots in pages, and remarks.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, frameTargetBytes, Table } from '../../../src/controller/stream/table.ts';
import { pageServices } from '../../../src/protocol/messages.ts';
import type { Address } from '../../../src/state/address.ts';
import { parsePort } from '../../../src/state/port.ts';
import { parseServiceKey } from '../../../src/state/service.ts';
import type { Placement, VipPort, VirtualIp } from '../../../src/state/virtual-ip.ts';

const addressOf = (index: number) => `10.0.${index >> 8}.${index & 255}` as Address;

function port(service: string, number: number): VipPort {
  const rest = { protocol: 'TCP', delivery: 'host', sources: null } as const;
  return { ...rest, service: parseServiceKey(service), port: parsePort(number) };
}

function vip(index: number, ports: readonly VipPort[] = [port('demo/a', 80)]): VirtualIp {
  return { address: addressOf(index), filtered: true, egress: false, ports };
}

const place = (index: number, n = 1): Placement => ({
  address: addressOf(index),
  term: { generation: 1, n },
});

/** The message in a frame. */
function said(frame: Buffer | undefined): { readonly set: object[] } & Readonly<Record<string, unknown>> {
  ok(frame !== undefined);
  return JSON.parse(frame.toString('utf8', frame[1] === 127 ? 10 : frame[1] === 126 ? 4 : 2));
}

const short = ({ from, to, keys }: Change) => [from, to, ...keys];

test('a step has what changed, and nothing that stayed or was never there', () => {
  const table = new Table('placements');
  const [first] = [...table.put({ set: [place(1), place(2)], remove: [addressOf(9)] })];
  ok(first !== undefined);
  deepEqual(short(first), [0, 1, addressOf(1), addressOf(2)]);
  const delta = { type: 'delta', table: 'placements', from: 0, to: 1 };
  deepEqual(said(first.frame), { ...delta, set: [place(1), place(2)], remove: [] });
  deepEqual([...table.put({ set: [place(1)], remove: [] })], []);
  const [second] = [...table.put({ set: [place(1), place(2, 5), place(3)], remove: [addressOf(1)] })];
  ok(second !== undefined);
  deepEqual(said(second.frame), {
    ...delta,
    from: 1,
    to: 2,
    set: [place(2, 5), place(3)],
    remove: [addressOf(1)],
  });
  const again = new Set([addressOf(3)]);
  deepEqual([...table.put({ set: [place(2, 5), place(3)], remove: [], again })].map(short), [
    [2, 3, addressOf(3)],
  ]);
  deepEqual([table.seq, table.size, table.items, [...table.keys()]], [3, 2, 2, [addressOf(2), addressOf(3)]]);
  deepEqual(
    [1, 2, 3].map((index) => table.sinceSeq(addressOf(index))),
    [undefined, 1, 2],
  );
  deepEqual(
    [1, 2, 3].map((index) => table.changedSeq(addressOf(index))),
    [undefined, 2, 2],
  );
  deepEqual([table.get(addressOf(1)), table.get(addressOf(2))], [undefined, place(2, 5)]);
});

test('the items of a table are those of its resources as they are now', () => {
  const table = new Table('rules');
  const two = [port('demo/a', 80), { ...port('demo/a', 81), sources: [] }];
  for (const _ of table.put({ set: [vip(1, two), vip(2)], remove: [] }));
  equal(table.items, 5);
  for (const _ of table.put({ set: [vip(1)], remove: [addressOf(2)] }));
  equal(table.items, 2);
});

test('a step and a page have at most so many Services and bytes, but one resource in any case', () => {
  const services = (index: number, count: number) =>
    vip(
      index,
      Array.from({ length: count }, (_, at) => port(`demo/s${at}`, at + 1)),
    );
  const sizes = (set: readonly VirtualIp[]) => {
    const table = new Table('rules');
    const steps = [...table.put({ set, remove: [] })].map(({ keys }) => keys.length);
    const buckets = [...new Set(set.map(({ address }) => table.bucketOf(address)))];
    const pages = table.snapshot(buckets);
    const inPages: number[] = [];
    for (let page = 0; pages.page(page) !== undefined; page++)
      inPages.push(said(pages.page(page)).set.length);
    return [steps, inPages];
  };
  const single = Array.from({ length: 2 * pageServices + 1 }, (_, index) => vip(index));
  deepEqual(sizes(single), Array(2).fill([pageServices, pageServices, 1]));
  deepEqual(sizes([services(1, pageServices + 1), vip(2)]), [
    [1, 1],
    [1, 1],
  ]);
  deepEqual(sizes([services(1, pageServices), vip(2)]), [
    [1, 1],
    [1, 1],
  ]);
  deepEqual(sizes([services(1, pageServices - 1), vip(2)]), [[2], [2]]);
  const ports = Array.from({ length: pageServices + 1 }, (_, index) => port('demo/a', index + 1));
  deepEqual(sizes([vip(1, ports), vip(2)]), [[2], [2]]);
  const wide = (index: number) => vip(index, Array(7000).fill(port('demo/a', 80)));
  const bytes = Buffer.byteLength(JSON.stringify(wide(1)));
  ok(bytes < frameTargetBytes && 2 * bytes > frameTargetBytes);
  deepEqual(sizes([wide(1), wide(2), wide(3)]), Array(2).fill([1, 1, 1]));
  const placements = single.map((_, index) => place(index));
  const steps = [...new Table('placements').put({ set: placements, remove: [] })];
  deepEqual(
    steps.map(({ keys }) => keys.length),
    [pageServices, pageServices, 1],
  );
});

test('the digest of a table is that of its content, however it came there', () => {
  const digestOf = (table: Table<'placements'>) => said(table.synced())['digest'];
  const put = (table: Table<'placements'>, set: readonly Placement[], remove: readonly Address[] = []) => {
    for (const _ of table.put({ set, remove }));
    return table;
  };
  const one = put(new Table('placements'), [place(1), place(2)]);
  const other = put(
    put(new Table('placements'), [place(2, 9), place(3)]),
    [place(2), place(1)],
    [addressOf(3)],
  );
  equal(digestOf(one), digestOf(other));
  deepEqual(
    one.differing({ count: 0, digests: {} }),
    [1, 2]
      .map(addressOf)
      .map((key) => one.bucketOf(key))
      .sort((a, b) => a - b),
  );
  const empty = new Table('placements');
  ok(digestOf(one) !== digestOf(empty));
  equal(digestOf(put(one, [], [addressOf(1), addressOf(2)])), digestOf(empty));
  equal(empty.bucketOf(addressOf(1)), other.bucketOf(addressOf(1)));
});

test('a delta is large if it has too many keys, or too many bytes', () => {
  const table = new Table('rules');
  const many = Array.from({ length: pageServices + 1 }, (_, index) => addressOf(index));
  equal(table.isLarge(new Set(many)), true);
  equal(table.isLarge(new Set(many.slice(1))), false);
  const wide = (index: number) => vip(index, Array(7000).fill(port('demo/a', 80)));
  for (const _ of table.put({ set: [wide(1), wide(2)], remove: [] }));
  deepEqual(
    [[1], [1, 9], [1, 2]].map((keys) => table.isLarge(new Set(keys.map(addressOf)))),
    [false, false, true],
  );
});

test('a snapshot has the asked buckets, is shared at one version, and stays as it was', () => {
  const table = new Table('placements');
  for (const _ of table.put({ set: Array.from({ length: 50 }, (_, index) => place(index)), remove: [] }));
  const bucket = table.bucketOf(addressOf(7));
  const pages = table.snapshot([bucket]);
  equal(table.snapshot([bucket]), pages);
  ok(table.snapshot([]) !== pages && table.snapshot([bucket]) !== table.snapshot([bucket, 256]));
  const again = table.snapshot([bucket]);
  for (const _ of table.put({ set: [place(7, 2)], remove: [] }));
  ok(table.snapshot([bucket]) !== again);
  equal(again.seq, 1);
  const inBucket = [...table.keys()].filter((key) => table.bucketOf(key) === bucket);
  const page = { type: 'page', table: 'placements', buckets: [bucket] };
  const set = inBucket.map((address) => ({ address, term: { generation: 1, n: 1 } }));
  deepEqual([said(again.page(0)), again.page(1)], [{ ...page, set }, undefined]);
  equal(table.snapshot([]).page(0), undefined);
});

test('remarks name the keys that are there and marked, in deltas and after snapshots', () => {
  const is =
    (...indices: readonly number[]) =>
    (key: Address) =>
      indices.map(addressOf).includes(key);
  const table = new Table('placements', { first: is(1, 3), quiet: is(2) });
  for (const _ of table.put({ set: [place(1), place(2)], remove: [] }));
  const { first, quiet } = said(table.delta({ from: 0, to: 1 }, [1, 2, 3].map(addressOf)));
  deepEqual([first, quiet], [[addressOf(1)], [addressOf(2)]]);
  const unmarked = said(table.delta({ from: 0, to: 1 }, [addressOf(2)]));
  deepEqual(['first' in unmarked, unmarked['to']], [false, 1]);
  const { digest, ...synced } = said(table.synced());
  deepEqual(synced, { type: 'synced', table: 'placements', seq: 1, count: 2, first: [addressOf(1)] });
  equal(String(digest).length, 16);
  equal('first' in said(new Table('rules').synced()), false);
});
