// ipset has no transactions: a packet may come after each single message of a change. What the sets hold then
// is computed here from the bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KernelObjects, Transaction } from '../../../src/dialects/dialect.ts';
import { xtables } from '../../../src/dialects/xtables/dialect.ts';
import type { XtObject } from '../../../src/dialects/xtables/objects.ts';
import { attributesOf, type Message, messagesOf, textOf } from '../../../src/netlink/reader.ts';
import { parsePort } from '../../../src/state/port.ts';
import type { VirtualIp } from '../../../src/state/virtual-ip.ts';
import { anyVips, deltaOf, needsOf, nothing, roomy, stateOf } from '../arbitraries.ts';
import { large, manyVips } from '../nftables/many.ts';

const dialect = () => {
  const places = { guard: 'raw', input: 'mangle', egress: 'mangle' } as const;
  const options = { counters: false, echo: true, observe: false };
  return xtables({ places, fragments: true, localAddresses: true, ...options });
};

/** Elements by their bytes, each with the bytes of its VIP's address; by the name of their set. */
type Sets = Map<string, Map<string, string>>;

/** Numbers of linux/netfilter/ipset/ip_set.h, and of the attributes that go with them. */
const [create, destroy, swap, add, del] = [0x602, 0x603, 0x606, 0x609, 0x60a];
const [setName, otherName, data, ip] = [2, 3, 7, 1];
const headerBytes = 4;

/** Does what a message says, as the kernel would. */
function apply(sets: Sets, { type, payload }: Message): void {
  const attributes = attributesOf(payload, headerBytes);
  const textAt = (attribute: number): string => textOf(attributes.get(attribute) ?? new Uint8Array());
  const name = textAt(setName);
  const set = (of: string): Map<string, string> => sets.get(of) ?? assert.fail(`there is no set ${of}`);
  const element = attributes.get(data) ?? new Uint8Array();
  const key = Buffer.from(element).toString('hex');
  if (type === create) sets.set(name, new Map());
  else if (type === destroy) sets.delete(name);
  else if (type === del) set(name).delete(key);
  else if (type === add) set(name).set(key, Buffer.from(attributesOf(element).get(ip) ?? []).toString('hex'));
  else if (type === swap) {
    const [one, other] = [set(name), set(textAt(otherName))];
    sets.set(name, other).set(textAt(otherName), one);
  }
}

function messages({ steps, after = [] }: Transaction<XtObject>): Message[] {
  return [...steps, ...after].flatMap(({ bytes }) => [...messagesOf(bytes)]);
}

function whole(objects: KernelObjects<XtObject>): Sets {
  const sets: Sets = new Map();
  for (const message of messages(dialect().encode(deltaOf(nothing, objects)))) apply(sets, message);
  return sets;
}

const isGate = (name: string): boolean => /^vipward-vip[46]$/.test(name);

/** Every element that any of the states has, of sets that rules look up before the change and after it. */
function* elements(before: Sets, now: Sets, after: Sets) {
  for (const [name, was] of before) {
    const [is, will] = [now.get(name), after.get(name)];
    if (will === undefined) continue;
    assert.ok(is, `${name} is not there for a moment`);
    const standIns = [...now].flatMap(([other, set]) => (other.startsWith(name) ? [set] : []));
    for (const [key, vip] of [...was, ...is, ...will]) {
      const isReady = standIns.some((set) => set.has(key));
      yield { name, key, vip, was: was.has(key), is: is.has(key), isReady, will: will.has(key) };
    }
  }
}

/** Checks what must hold after each message, whatever comes next. */
function look(before: Sets, now: Sets, after: Sets): void {
  const all = [...elements(before, now, after)];
  const guarded = (of: 'was' | 'is' | 'will') =>
    new Set(all.filter((one) => isGate(one.name) && one[of]).map(({ vip }) => vip));
  const [wasGuarded, isGuarded, willBeGuarded] = [guarded('was'), guarded('is'), guarded('will')];
  const lost = new Set(all.filter((one) => one.was && !one.is && !isGate(one.name)).map(({ vip }) => vip));
  for (const { name, key, vip, was, is, isReady, will } of all) {
    const what = `${key} of ${name}`;
    if (was && will) assert.ok(is, `${what} stays, and is gone for a moment`);
    if (!was && !will) assert.ok(!is, `${what} belongs to neither state, and is there for a moment`);
    if (!isGuarded.has(vip) || isGate(name)) continue;
    if (was && !willBeGuarded.has(vip)) assert.ok(is, `${what} goes before its VIP leaves the gate`);
    if (will && !wasGuarded.has(vip)) assert.ok(is, `${what} comes after its VIP is guarded`);
    if (will && lost.has(vip)) assert.ok(isReady, `${what} is not ready when something of its VIP goes`);
  }
}

function change(have: KernelObjects<XtObject>, want: KernelObjects<XtObject>): void {
  const [before, now, after] = [whole(have), whole(have), whole(want)];
  const { remove, add } = deltaOf(have, want);
  // Gates are last among removals and first among additions here, so that the encoder must fix the order.
  const transaction = dialect().encode({ remove, add: add.toReversed() });
  const untilTables = new Set(messages({ ...transaction, after: [] }).keys());
  for (const [index, message] of messages(transaction).entries()) {
    const [had, tables] = [new Set(now.keys()), transaction.tables ?? []];
    apply(now, message);
    look(before, now, after);
    const isInUse = tables.length > 0 && untilTables.has(index);
    for (const name of had) assert.ok(!isInUse || now.has(name) || !before.has(name), `${name} is in use`);
  }
  const names = (sets: Sets) => [...sets].map(([name, set]) => [name, [...set.keys()].sort()]).sort();
  assert.deepEqual(names(now), names(after));
}

type Ground = (
  before: VirtualIp[],
  after: VirtualIp[],
) => readonly [KernelObjects<XtObject>, KernelObjects<XtObject>];

const grounds: Readonly<Record<string, Ground>> = {
  'in sets that stay as they are': (before, after) => {
    const needs = needsOf([...before, ...after]);
    const { render } = dialect();
    return [render(stateOf(before, needs)), render(stateOf(after, needs))];
  },
  'while all sets grow': (before, after) => {
    const needs = needsOf([...before, ...after]);
    const capacities = Object.fromEntries(Object.entries(roomy).map(([name, room]) => [name, room * 2]));
    const larger = { ...needs, capacities: { ...roomy, ...capacities } };
    const { render } = dialect();
    return [render(stateOf(before, needs)), render(stateOf(after, larger))];
  },
  'with the sets that each state needs': (before, after) => {
    const { render } = dialect();
    return [render(stateOf(before)), render(stateOf(after))];
  },
};

for (const [how, ground] of Object.entries(grounds)) {
  test(`no port is wrongly open or closed after any message of a change, ${how}`, () => {
    fc.assert(fc.property(anyVips(4), anyVips(4), (before, after) => change(...ground(before, after))));
  });
}

test('no port is wrongly open or closed after any message of a change of many VIPs', () => {
  const { render } = dialect();
  const vips = manyVips(40, 3);
  const moved = vips.slice(10).map((vip) => ({
    ...vip,
    ports: vip.ports.map((one) => ({ ...one, port: parsePort(one.port + 1) })),
  }));
  const needs = needsOf(vips, large);
  const [before, after] = [vips.slice(0, 35), moved].map((some) => render(stateOf(some, needs)));
  assert.ok(before !== undefined && after !== undefined);
  change(before, after);
});
