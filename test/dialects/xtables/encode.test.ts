// A delta -> messages of ipset. One encoder serves an agent's whole life.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KernelObjects, Transaction } from '../../../src/dialects/dialect.ts';
import { xtables } from '../../../src/dialects/xtables/dialect.ts';
import type { XtObject } from '../../../src/dialects/xtables/objects.ts';
import { replaceBytes } from '../../../src/dialects/xtables/replace.ts';
import type { XtOptions } from '../../../src/dialects/xtables/ruleset.ts';
import type { Step } from '../../../src/netlink/ack.ts';
import { messagesOf } from '../../../src/netlink/reader.ts';
import { parsePort } from '../../../src/state/port.ts';
import type { VirtualIp } from '../../../src/state/virtual-ip.ts';
import { anyOptions, anyVips, deltaOf, needsOf, nothing, stateOf } from '../arbitraries.ts';
import { manyVips } from '../nftables/many.ts';

const plain: Omit<XtOptions, 'counters' | 'echo' | 'observe'> = {
  places: { guard: 'raw', input: 'mangle', egress: 'mangle' },
  fragments: true,
  localAddresses: true,
};

/** A copy of all that is sent; a table is given by its object. */
function sent({ steps, tables = [], after = [] }: Transaction<XtObject>): unknown {
  return { steps: steps.map(copy), tables: tables.map(({ object }) => object), after: after.map(copy) };
}

function copy({ bytes, records, ...rest }: Step<XtObject>): Step<XtObject> {
  const copied = records.map((record) => ({ ...record, objects: [...record.objects] }));
  return { ...rest, bytes: bytes.slice(), records: copied };
}

test('an encoded change neither depends on an earlier one nor alters it', () => {
  fc.assert(
    fc.property(anyVips(), anyVips(), anyOptions(), (before, after, options) => {
      const used = xtables({ ...plain, ...options });
      const have = used.render(stateOf(before));
      const want = used.render(stateOf(after));
      const first = used.encode(deltaOf(nothing, have));
      const kept = sent(first);
      const delta = deltaOf(have, want);
      const fresh = xtables({ ...plain, ...options });
      assert.deepEqual(sent(used.encode(delta)), sent(fresh.encode(delta)));
      assert.deepEqual(sent(first), kept);
    }),
  );
});

const options = { ...plain, counters: false, echo: true, observe: false };
const [types, needs] = [{ add: 0x609, del: 0x60a, last: 0x601 }, needsOf([])];
const [vip, another] = manyVips(2, 1);
assert.ok(vip !== undefined && another !== undefined);
const moved = { ...vip, ports: vip.ports.map((port) => ({ ...port, port: parsePort(443) })) };

test('an old port is deleted only if its successor was accepted, and no later change is halved by it', () => {
  const { encode, render } = xtables(options);
  const change = (from: readonly VirtualIp[], to: readonly VirtualIp[]) =>
    encode(deltaOf(render(stateOf(from, needs)), render(stateOf(to, needs)))).steps.map((step) => {
      const halves = [step.bytes.subarray(0, step.split), step.bytes.subarray(step.split)];
      return [step.halved, ...halves.map((half) => [...messagesOf(half)].map(({ type }) => type))];
    });
  assert.deepEqual(change([vip], [moved]), [[true, [types.add], [types.del, types.last]]]);
  assert.deepEqual(change([vip], [vip, another]), [
    [false, [types.add, types.add, types.add, types.last], []],
  ]);
  const gone = [types.del, types.del, types.del];
  assert.deepEqual(change([vip], [another]), [
    [false, [...gone, types.add, types.add, types.add, types.last], []],
  ]);
  assert.deepEqual(change([vip], [vip]), []);
});

test('what may not fit is sent before anything goes, in a step of its own', () => {
  const { encode, render } = xtables(options);
  const before = manyVips(40, 3);
  const after = before.map((one) => ({
    ...one,
    ports: one.ports.map((port) => ({ ...port, port: parsePort(port.port + 100) })),
  }));
  const larger = { ...needs, capacities: { ...needs.capacities, ports4: 16_384 } };
  const [create, destroy, swap] = [0x602, 0x603, 0x606];
  const typesOf = (from: KernelObjects<XtObject>, to: KernelObjects<XtObject>) =>
    encode(deltaOf(from, to)).steps.map(({ bytes }) => [
      ...new Set([...messagesOf(bytes)].map(({ type }) => type)),
    ]);
  const have = render(stateOf(before, needs));
  const { add, del, last } = types;
  assert.deepEqual(typesOf(have, render(stateOf(after, needs))), [
    [add, last],
    [del, last],
  ]);
  assert.deepEqual(typesOf(have, render(stateOf(before, larger))), [
    [create, add, last],
    [swap, destroy, last],
  ]);
});

test('a rewritten table is struct ipt_replace, and the entries behind it', () => {
  const [hookEntry, underflow] = [
    [10, 11, 12, 13, 14],
    [20, 21, 22, 23, 24],
  ];
  const entries = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const edited = { validHooks: 9, hookEntry, underflow, entryCount: 5, entries, origins: [] };
  const bytes = replaceBytes('mangle', edited, 3);
  const words = [9, 5, 8, ...hookEntry, ...underflow, 3, 0, 0];
  const name = new TextEncoder().encode('mangle'.padEnd(32, '\0'));
  assert.deepEqual([...bytes], [...name, ...new Uint8Array(Uint32Array.from(words).buffer), ...entries]);
});

test('with egress or a forwarded port or without, one table judges before the other lets pass', () => {
  const { encode, render } = xtables(options);
  const [egress, forward] = [
    { ...needs, egress: true },
    { ...needs, forward: true },
  ];
  const tablesOf = (from: typeof needs, to: typeof needs) =>
    (encode(deltaOf(render(stateOf([vip], from)), render(stateOf([vip], to)))).tables ?? [])
      .filter(({ family }) => family === 4)
      .map(({ table }) => table);
  assert.deepEqual(tablesOf(needs, egress), ['mangle', 'raw']);
  assert.deepEqual(tablesOf(egress, needs), ['raw', 'mangle']);
  // The table after conntrack tells whether a source is forged.
  assert.deepEqual(tablesOf(needs, forward), ['mangle', 'raw']);
  assert.deepEqual(tablesOf(forward, needs), ['raw', 'mangle']);
  assert.deepEqual(tablesOf(egress, forward), ['raw', 'mangle']);
});
