// The same nodes may get a VIP whether each node is asked or their common properties are used.

import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Candidates } from '../../../src/controller/owners/candidates.ts';
import type { Bar, Node } from '../../../src/controller/owners/node.ts';
import { Nodes } from '../../../src/controller/owners/nodes.ts';
import { Table } from '../../../src/controller/stream/table.ts';
import type { Hello, TableName } from '../../../src/protocol/messages.ts';
import { type Address, parseAddress, parsePrefix } from '../../../src/state/address.ts';

const vips = ['10.0.0.1', '10.0.1.1', 'fd00::1'].map(parseAddress);
const prefixes = ['10.0.0.0/24', '10.0.1.0/24', 'fd00::/64'].map(parsePrefix);

interface Given {
  readonly isConnected: boolean;
  readonly onLink: readonly number[];
  readonly isDrained: boolean;
  readonly isBehind: boolean;
  readonly impossible: readonly number[];
  readonly refused: readonly {
    readonly vip: number;
    readonly code: 'AddressConflict' | 'KernelRefused';
    readonly table: TableName;
  }[];
  /** Whether the cluster bars this node for all VIPs, or for one. */
  readonly barred: 'all' | 'none' | number;
}

const some = fc.subarray([0, 1, 2]);
const rarely = fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: some });
const seldom = fc.integer({ min: 0, max: 3 }).map((one) => one === 0);
const code = fc.constantFrom('AddressConflict' as const, 'KernelRefused' as const);
const table = fc.constantFrom('rules' as const, 'placements' as const);
const given: fc.Arbitrary<Given> = fc.record({
  isConnected: seldom.map((one) => !one),
  onLink: some,
  isDrained: seldom,
  isBehind: seldom,
  impossible: rarely,
  refused: fc.tuple(rarely, code, table).map(([all, one, of]) => {
    return all.map((vip) => ({ vip, code: one, table: of }));
  }),
  barred: fc.constantFrom('none' as const, 'none' as const, 'all' as const, 0, 1, 2),
});

function nodesOf(all: readonly Given[]): Nodes {
  const nodes = new Nodes();
  const bar: Bar = { reason: 'NoEligibleNode', message: '' };
  const isBarred = (name: string, by: Given['barred']) => all[Number(name)]?.barred === by;
  const fromAll = (name: string) => (isBarred(name, 'all') ? bar : null);
  const own = (vip: number) => (name: string) => fromAll(name) ?? (isBarred(name, vip) ? bar : null);
  nodes.bar = (address) => {
    const vip = vips.indexOf(address);
    return all.some(({ barred }) => barred === vip) ? own(vip) : fromAll;
  };
  for (const [index, one] of all.entries()) {
    const node = nodes.at(String(index));
    const allow = one.onLink.flatMap((at) => prefixes[at] ?? []);
    const hello = { onLink: prefixes, allow, held: [] } as unknown as Hello;
    if (one.isConnected) node.connect(hello, {} as never);
    node.isDrained = one.isDrained;
    node.isBehind = one.isBehind;
    for (const at of one.impossible) node.impossible.add(vips[at] as Address);
    for (const { vip, code: why, table: of } of one.refused) {
      const key = vips[vip] as Address;
      node.refusals.add({ table: of, key, code: why, reason: '' });
    }
  }
  return nodes;
}

/** The nodes that may have a VIP, asked one by one. */
function mayHave(nodes: Nodes, vip: Address): readonly Node[] {
  const isObjecting = nodes.all().some((node) => node.objectsTo(vip));
  return isObjecting ? [] : [...nodes.connected().filter((node) => node.mayTake(vip))];
}

const names = (candidates: readonly { readonly name: string }[] | null) =>
  candidates?.map(({ name }) => name).sort();

test('all candidates of a VIP are found, and nodes that are behind are used only as a last resort', () => {
  fc.assert(
    fc.property(fc.array(given, { maxLength: 6 }), (all) => {
      const nodes = nodesOf(all);
      const candidates = new Candidates(nodes, new Table('rules'));
      candidates.begin();
      for (const vip of [...vips, ...vips]) {
        const among = mayHave(nodes, vip);
        const prompt = among.filter(({ isBehind }) => !isBehind);
        deepEqual(names(candidates.for(vip)), names(among));
        deepEqual(names(candidates.insteadOf(null, vip)), names(prompt.length > 0 ? prompt : among));
      }
    }),
    { numRuns: 500 },
  );
});

/** A node that may have every VIP. */
const plain: Given = {
  isConnected: true,
  onLink: [0],
  isDrained: false,
  isBehind: false,
  impossible: [],
  refused: [],
  barred: 'none',
};

test('each turn uses the present state of the nodes', () => {
  const [vip] = vips as [Address];
  const nodes = nodesOf([plain, plain]);
  const candidates = new Candidates(nodes, new Table('rules'));
  const found = () => {
    candidates.begin();
    return names(candidates.insteadOf(null, vip));
  };
  deepEqual(found(), ['0', '1']);
  nodes.at('0').isDrained = true;
  deepEqual(found(), ['1']);
  nodes.at('1').disconnect();
  deepEqual(found(), []);
  ok(nodes.at('0').isConnected);
});

test('nothing is kept of a node that is forgotten, but how many VIPs it has', () => {
  const [vip] = vips as [Address];
  const nodes = nodesOf([plain]);
  const candidates = new Candidates(nodes, new Table('rules'));
  const [before] = candidates.for(vip);
  candidates.count('0', 1);
  equal(before?.load, 1);
  nodes.at('0').disconnect();
  nodes.forget('0');
  nodes.at('0').connect({ onLink: prefixes, allow: prefixes, held: [] } as unknown as Hello, {} as never);
  const [after] = candidates.for(vip);
  notEqual(after, before);
  equal(after?.load, 1);
  candidates.count('0', -1);
  equal(after?.load, 0);
});
