// Sets are replaced by larger ones of the same name, while others stand in for them, portion by portion.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftables } from '../../../src/dialects/nftables/dialect.ts';
import { batchElements } from '../../../src/dialects/nftables/portions.ts';
import { parsePrefix } from '../../../src/state/address.ts';
import type { Capacities } from '../../../src/state/desired-state.ts';
import type { VirtualIp } from '../../../src/state/virtual-ip.ts';
import { fakeKernel } from '../../fake-kernel.ts';
import { deltaOf, needsOf, nothing, plain, stateOf } from '../arbitraries.ts';
import { large, manyVips } from './many.ts';

test('larger sets are filled in portions and end as if they had been made at once', () => {
  const dialect = nftables(plain);
  for (const [count, least] of [
    [500, 1],
    [2000, 6],
  ] as const) {
    const vips = manyVips(count, 3);
    const kernel = fakeKernel();
    const small = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 8192 })));
    const grown = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 16_384 })));
    kernel.commit(dialect.encode(deltaOf(nothing, small)));
    const { steps } = dialect.encode(deltaOf(small, grown));
    assert.ok(steps.length >= least, `${steps.length} steps`);
    for (const { records } of steps) {
      const elements = records.flatMap(({ objects }) => objects.filter(({ kind }) => kind === 'element'));
      assert.ok(elements.length < batchElements + 5, `${elements.length} elements in one batch`);
    }
    assert.deepEqual(kernel.commit(dialect.encode(deltaOf(small, grown))), []);
    const fresh = fakeKernel();
    fresh.commit(dialect.encode(deltaOf(nothing, grown)));
    assert.equal(kernel.text(), fresh.text());
  }
});

test('after any step of a growth the next commit reaches the same state', () => {
  const dialect = nftables(plain);
  const vips = manyVips(100, 52);
  const small = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 8192 })));
  const grown = dialect.render(stateOf(vips, needsOf(vips, { ...large, ports4: 16_384 })));
  const fresh = fakeKernel();
  fresh.commit(dialect.encode(deltaOf(nothing, grown)));
  const { door, steps } = dialect.encode(deltaOf(small, grown));
  for (const last of steps.keys()) {
    const kernel = fakeKernel();
    kernel.commit(dialect.encode(deltaOf(nothing, small)));
    assert.deepEqual(kernel.commit({ door, steps: steps.slice(0, last) }), []);
    const found = dialect.decode(kernel.dump(dialect.dumps));
    assert.deepEqual(kernel.commit(dialect.encode(deltaOf(found, grown))), [], `after ${last} steps`);
    assert.equal(kernel.text(), fresh.text(), `after ${last} steps`);
  }
});

type State = readonly [vips: readonly VirtualIp[], sizes: Capacities];

/** Changes one state to another, and looks at the kernel's text after each step. */
function inSteps(before: State, after: State, look: (text: string) => void): void {
  const dialect = nftables(plain);
  const [kernel, fresh] = [fakeKernel(), fakeKernel()];
  const rendered = ([vips, sizes]: State) => dialect.render(stateOf(vips, needsOf(vips, sizes)));
  const [have, want] = [rendered(before), rendered(after)];
  kernel.commit(dialect.encode(deltaOf(nothing, have)));
  const { door, steps } = dialect.encode(deltaOf(have, want));
  assert.ok(steps.length > 3, `${steps.length} steps`);
  for (const step of steps) {
    assert.deepEqual(kernel.commit({ door, steps: [step] }), []);
    look(kernel.text());
  }
  fresh.commit(dialect.encode(deltaOf(nothing, want)));
  assert.equal(kernel.text(), fresh.text());
}

for (const [what, larger] of Object.entries({ ports: { ports4: 32_768 }, gates: { vips4: 32_768 } })) {
  const name = `while larger sets of ${what} are made`;
  test(`${name}, a VIP in the gate has its ports, and one that stays is in the gate`, () => {
    const [all, sizes] = [manyVips(4000, 3), { ...large, ports4: 16_384 }];
    const [before, after] = [all.slice(0, 3000), all.slice(1000)];
    inSteps([before, sizes], [after, { ...sizes, ...larger }], (text) => {
      const [gates, ports] = [elementsIn(text, lookedInto(text, 'vip4')), countsIn(text, 'allow4')];
      for (const { address } of before.slice(1000)) assert.ok(gates.has(address), `${address} is open`);
      for (const gate of gates) assert.equal(ports.get(gate), 3, `ports of ${gate}`);
    });
  });
}

/** Each VIP is open to one range only. */
const ranged = (vips: readonly VirtualIp[]): VirtualIp[] =>
  vips.map((vip) => {
    const sources = [parsePrefix('192.0.2.0/24')];
    return { ...vip, ports: vip.ports.map((port) => ({ ...port, sources })) };
  });
const [small, roomySources] = [manyVips(2001, 3), { ...large, sources4: 8192 }];
const [alone, ...most] = small;
const areOpen = (text: string, vips: Iterable<string>): void => {
  const [open, toRange] = [countsIn(text, 'allow4'), countsIn(text, 'src4_24')];
  for (const vip of vips) assert.ok(open.get(vip) === 3 || toRange.get(vip) === 3, `${vip} is closed`);
};

test('a VIP keeps its ports until the rules look into the new or larger set of its new ones', () => {
  assert.ok(alone !== undefined);
  const look = (text: string): void =>
    areOpen(
      text,
      small.map(({ address }) => address),
    );
  inSteps([small, roomySources], [ranged(small), roomySources], look);
  const larger = { ...roomySources, ports4: 65_536 };
  inSteps([ranged(small), roomySources], [[...ranged([alone]), ...most], larger], look);
});

test('a new VIP is in a gate only when the rules look into the set of its ports', () => {
  assert.ok(alone !== undefined);
  const after = ranged(small).map((vip) => ({ ...vip, egress: true }));
  const before = [{ ...alone, egress: true }];
  inSteps([before, roomySources], [after, roomySources], (text) => {
    for (const gate of ['vip4', 'egress4']) areOpen(text, elementsIn(text, lookedInto(text, gate)));
  });
});

/** How many keys begin with each address, in the set of this name or the one that rules look into instead. */
function countsIn(text: string, name: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of elementsIn(text, lookedInto(text, name))) {
    const [vip = ''] = key.split(' ');
    counts.set(vip, (counts.get(vip) ?? 0) + 1);
  }
  return counts;
}

/** The keys in one set of a kernel's text. */
function elementsIn(text: string, name: string): Set<string> {
  const [, block = ''] = text.split(new RegExp(`^  set ${name} .*\\n`, 'm'));
  return new Set(/^(?: {4}.*\n)*/.exec(block)?.[0].trim().split(/\n */));
}

/** The set that the rules of a kernel's text look up, of this name or in its place. */
function lookedInto(text: string, name: string): string {
  return new RegExp(`@(${name})\\b`, 'i').exec(text)?.[1] ?? '';
}
