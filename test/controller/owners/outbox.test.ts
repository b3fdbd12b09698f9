// What is decided of a VIP between two flushes: the last order counts, and a repeat changes none.

import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { Nodes } from '../../../src/controller/owners/nodes.ts';
import { Outbox } from '../../../src/controller/owners/outbox.ts';
import { term, vip } from '../ruling.ts';

const placed = { address: vip, term };
const again = { address: vip, term: { ...term, n: 2 } };

/** An outbox with a node that was told of the VIP, and what the node has after these orders. */
function told() {
  const [outbox, nodes] = [new Outbox(), new Nodes()];
  const node = nodes.at('a');
  const after = (...orders: readonly (() => unknown)[]) => {
    for (const order of orders) order();
    outbox.flush();
    return [node.placements.get(vip), node.placements.seq];
  };
  const set = () => outbox.set(node, again);
  const remove = () => outbox.remove(node, vip);
  const repeat = () => outbox.repeat(node, vip);
  outbox.set(node, placed);
  after();
  return { outbox, nodes, node, after, set, remove, repeat };
}

test('of two orders the last one counts', () => {
  const { after, set, remove } = told();
  deepEqual(after(remove, set), [again, 2]);
  deepEqual(after(set, remove), [undefined, 3]);
});

test('a repeat is a step of its own, and changes no order that is not sent yet', () => {
  const { after, set, remove, repeat } = told();
  deepEqual(after(repeat), [placed, 2]);
  deepEqual(after(set, repeat), [again, 3]);
  deepEqual(after(remove, repeat), [undefined, 4]);
  deepEqual(after(repeat), [undefined, 4]);
});

test('a removal concerns the nodes that were told, or that are about to be', () => {
  const { outbox, nodes, after, remove, set } = told();
  nodes.at('b');
  after(remove);
  deepEqual([remove(), after()], [false, [undefined, 2]]);
  set();
  deepEqual([remove(), after(), remove()], [true, [undefined, 2], false]);
  deepEqual(outbox.removeFromAll(nodes, vip), []);
});
