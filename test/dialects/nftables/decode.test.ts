// Dumps -> objects: drift in our table, foreign tables, and corrupted bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isEmpty } from '../../../src/dialects/delta.ts';
import { tableOwner } from '../../../src/dialects/nftables/decode.ts';
import { describe } from '../../../src/dialects/nftables/describe.ts';
import { nftables } from '../../../src/dialects/nftables/dialect.ts';
import { tableObject } from '../../../src/dialects/nftables/objects.ts';
import { NetlinkError } from '../../../src/netlink/reader.ts';
import { fakePortId } from '../../fake-kernel/answers.ts';
import { attributes, concat, find, headerBytes, message, put, split, text } from '../../fake-kernel/bytes.ts';
import { type FakeKernel, fakeKernel } from '../../fake-kernel.ts';
import { anyVips, deltaOf, needsOf, nothing, plain, stateOf } from '../arbitraries.ts';

const counting = { ...plain, counters: true };
const dialect = nftables(counting);
const [vips] = fc.sample(anyVips(20), { numRuns: 1, seed: 7 });
const want = dialect.render(stateOf(vips ?? []));

/** A change of another program to our table or to another. */
type Meddling = readonly [type: number, flags: number, ...parts: Uint8Array[]];

function meddled(...changes: readonly Meddling[]): FakeKernel {
  const kernel = fakeKernel();
  assert.deepEqual(kernel.commit(dialect.encode(deltaOf(nothing, want))), []);
  const batch = concat([
    message({ type: 0x10, flags: 1, sequence: 1, family: 0, resource: 10 }),
    ...changes.map(([type, flags, ...parts], index) =>
      message({ type: 0xa00 + type, flags: 1 | flags, sequence: index + 2 }, parts),
    ),
    message({ type: 0x11, flags: 1, sequence: 99, family: 0, resource: 10 }),
  ]);
  assert.equal(kernel.exchange(batch).length, 0, 'the foreign change was refused');
  return kernel;
}

const ours = put(1, 'vipward');
const key = (...bytes: number[]) => put(3, [put(1, [put(1, [put(1, Uint8Array.from(bytes))])])]);

/** The first base chain, made anew at another place. */
const guardAt = (hook: number, priority: number): readonly Meddling[] => [
  [8, 0, ours, put(2, 'prerouting')],
  [5, 0, ours, put(3, 'prerouting')],
  [
    3,
    0x400,
    ours,
    put(3, 'prerouting'),
    put(4, [put(1, hook), put(2, priority)]),
    put(5, 1),
    put(7, 'filter'),
  ],
];

const strangers: Readonly<Record<string, readonly Meddling[]>> = {
  'an extra element': [[12, 0x400, ours, put(2, 'vip4'), key(9, 9, 9, 9)]],
  'a missing element': [[14, 0, ours, put(2, 'icmp4'), key(3)]],
  'an extra rule': [[6, 0xc00, ours, put(2, 'guard4'), put(4, [])]],
  'missing rules': [[8, 0, ours, put(2, 'guard6')]],
  'a foreign chain': [[3, 0x400, ours, put(3, 'stranger')]],
  'a foreign set': [[9, 0x400, ours, put(2, 'stranger'), put(4, 7), put(5, 4), put(10, 1)]],
  'a set of another size': [
    [9, 0x400, ours, put(2, 'vip4'), put(4, 7), put(5, 4), put(10, 1), put(9, [put(1, 5000)])],
  ],
  'a base chain at another priority': guardAt(0, -300),
  'a base chain at another hook': guardAt(1, -310),
  'everything missing': [[2, 0, ours]],
};

for (const [name, changes] of Object.entries(strangers)) {
  test(`decode shows drift and one commit repairs it: ${name}`, () => {
    const kernel = meddled(...changes);
    const delta = deltaOf(dialect.decode(kernel.dump(dialect.dumps)), want);
    assert.ok(!isEmpty(delta));
    assert.deepEqual(kernel.commit(dialect.encode(delta)), []);
    assert.equal(kernel.text(), meddled().text());
  });
}

test('decode ignores a foreign table, and a commit leaves it as it is', () => {
  const theirs = put(1, 'other');
  const kernel = meddled(
    [0, 0x400, theirs],
    [9, 0x400, theirs, put(2, 'vip4'), put(4, 7), put(5, 4), put(10, 1)],
    [12, 0x400, theirs, put(2, 'vip4'), key(1, 2, 3, 4)],
    [3, 0x400, theirs, put(3, 'prerouting'), put(4, [put(1, 0), put(2, -310)]), put(5, 0), put(7, 'filter')],
  );
  const found = dialect.decode(kernel.dump(dialect.dumps));
  assert.deepEqual(deltaOf(found, want), { remove: [], add: [] });
  assert.deepEqual(kernel.commit(dialect.encode(deltaOf(found, nothing))), []);
  assert.match(
    kernel.text(),
    /^table other flags 0\n {2}set vip4 key 4 size 0\n {4}1\.2\.3\.4\n {2}chain prerouting hook 0/,
  );
});

test('a table of our name in another family is not ours', () => {
  const reply = message({ type: 0xa00, flags: 2, sequence: 1, family: 2 }, [ours, put(2, 0)]);
  assert.deepEqual(dialect.decode([reply]), nothing);
  assert.equal(tableOwner(reply), undefined);
});

test('without our table decode gives no object', () => {
  assert.deepEqual(dialect.decode(fakeKernel().dump(dialect.dumps)), nothing);
});

test('a table without an owner is claimed and keeps its content', () => {
  const owned = nftables({ ...counting, tableFlags: 6 });
  const kernel = fakeKernel();
  const wanted = owned.render(stateOf(vips ?? []));
  kernel.commit(owned.encode(deltaOf(nothing, wanted)));
  const replies = kernel.dump(owned.dumps);
  assert.equal(tableOwner(replies[0] ?? new Uint8Array()), fakePortId);
  assert.ok(isEmpty(deltaOf(owned.decode(replies), wanted)));
  const before = kernel.text();
  // When an owner dies, the kernel clears its flag.
  for (const flags of [6, 4]) {
    const orphaned = [tableReply(flags, 'vipward layout 1'), ...replies.slice(1)];
    assert.equal(tableOwner(orphaned[0] ?? new Uint8Array()), 0);
    const delta = deltaOf(owned.decode(orphaned), wanted);
    assert.deepEqual(delta.add.map(describe), ['table inet vipward (flags 6)']);
    assert.deepEqual(kernel.commit(owned.encode(delta)), []);
    assert.equal(kernel.text(), before);
  }
});

test('a claimed table gets and loses base chains in a batch after that which claims it', () => {
  const owned = nftables({ ...counting, tableFlags: 6 });
  const rendered = (egress: boolean, ...sourceLengths4: readonly number[]) =>
    owned.render(stateOf([], { ...needsOf([]), egress, sourceLengths4 }));
  const stepsOf = (have: ReturnType<typeof rendered>, want: ReturnType<typeof rendered>) => {
    const constants = have.constants.map((one) => (one.kind === 'table' ? tableObject(6, 1, false) : one));
    const { steps } = owned.encode(deltaOf({ ...have, constants }, want));
    return steps.map(({ records }) => records.some(({ objects }) => objects[0]?.kind === 'table'));
  };
  assert.deepEqual(stepsOf(rendered(false), rendered(true)), [true, false]);
  assert.deepEqual(stepsOf(rendered(true), rendered(false)), [true, false]);
  assert.deepEqual(stepsOf(rendered(false), rendered(false, 24)), [true]);
  assert.deepEqual(stepsOf(rendered(true), rendered(true)), [true]);
});

test('a table of an unknown layout, or without a comment, is replaced as a whole', () => {
  for (const comment of [
    'vipward layout 2',
    'vipward layout x',
    'a vipward layout 1',
    'vipward layout 1 ',
    '',
  ]) {
    const kernel = meddled();
    const replies = [tableReply(0, comment), ...kernel.dump(dialect.dumps).slice(1)];
    const delta = deltaOf(dialect.decode(replies), want);
    assert.equal(delta.remove.length, 1);
    assert.equal(delta.add.length, want.constants.length + want.elements.length);
  }
});

/** The dumps of our table with a value changed in the message of a type that has this name. */
function dumpsWith(type: number, name: readonly [number, string], value: readonly [number, Uint8Array]) {
  let changes = 0;
  const replies = meddled()
    .dump(dialect.dumps)
    .map((reply) => {
      const copy = reply.slice();
      for (const one of split(copy)) {
        if (one.type !== 0xa00 + type) continue;
        const list = attributes(one.bytes, headerBytes);
        if (text(find(list, name[0])) !== name[1]) continue;
        find(list, value[0])?.value.set(value[1]);
        changes++;
      }
      return copy;
    });
  assert.equal(changes, 1);
  return replies;
}

test('a dormant table, a set of ranges and a chain that drops or is of another type are not ours', () => {
  const removed = (...of: Parameters<typeof dumpsWith>): string[] =>
    deltaOf(dialect.decode(dumpsWith(...of)), want).remove.map(describe);
  const word = (number: number) => Uint8Array.of(0, 0, 0, number);
  assert.deepEqual(removed(0, [1, 'vipward'], [2, word(0)]), []);
  assert.deepEqual(removed(0, [1, 'vipward'], [2, word(1)]), ['table inet vipward (flags 1)']);
  const ranges = removed(9, [2, 'vip4'], [3, word(4)]);
  assert.ok(ranges.includes('set vip4 (size 0)'), ranges.join());
  const route = new TextEncoder().encode('route\0\0');
  for (const value of [
    [5, word(0)],
    [7, route],
  ] as const)
    assert.match(removed(3, [3, 'prerouting'], value).join(), /^chain prerouting /);
});

test('an anonymous set or chain is no object; a set with an element for every absent key is replaced', () => {
  const replies = meddled().dump(dialect.dumps);
  const set = (name: string) => [put(1, 'vipward'), put(2, name)];
  const removed = (place: number, type: number, parts: readonly Uint8Array[]): string[] => {
    const extra = message({ type: 0xa00 + type, flags: 2, sequence: 1 }, parts);
    const more = replies.map((reply, index) => (index === place ? concat([extra, reply]) : reply));
    return deltaOf(dialect.decode(more), want).remove.map(describe);
  };
  const anonymous = [...set('__set0'), put(3, 1), put(4, 7), put(5, 4), put(9, [put(1, 8)])];
  assert.deepEqual(removed(1, 9, anonymous), []);
  const [bound, plainChain] = [put(10, 4), put(10, 0)].map((flags) => [ours, put(3, '__chain1'), flags]);
  assert.deepEqual(removed(2, 3, bound ?? []), []);
  assert.equal(removed(2, 3, plainChain ?? []).length, 1);
  const vip4 = replies.findIndex((reply) =>
    split(reply).some(
      (one) => one.type === 0xa0c && text(find(attributes(one.bytes, headerBytes), 2)) === 'vip4',
    ),
  );
  const every = removed(vip4, 12, [...set('vip4'), put(3, [put(1, [put(3, 2)])])]);
  assert.ok(every.includes('set vip4 (size 0)'), every.join());
});

test('corrupted dumps give objects or a NetlinkError', () => {
  const replies = meddled().dump(dialect.dumps);
  const full = [...replies.keys()].filter((index) => (replies[index]?.length ?? 0) > 60);
  const change = fc.tuple(fc.constantFrom(...full), fc.nat(), fc.constantFrom(0, 1, 4, 5, 0x7f, 0xff));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const lying = replies.map((reply) => reply.slice());
      for (const [index, place, value] of changes) {
        const reply = lying[index] ?? new Uint8Array(1);
        reply[place % reply.length] = value;
      }
      try {
        dialect.decode(lying);
      } catch (error) {
        assert.ok(error instanceof NetlinkError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

/** A table as GETTABLE returns it, without NFTA_TABLE_OWNER. */
function tableReply(flags: number, comment: string): Uint8Array {
  const text = new TextEncoder().encode(`${comment}\0`);
  const userdata = Uint8Array.of(0, text.length, ...text);
  return message({ type: 0xa00, flags: 2, sequence: 1 }, [ours, put(2, flags), put(6, userdata)]);
}
