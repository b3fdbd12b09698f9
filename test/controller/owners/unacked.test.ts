// VIPs that nodes were told to let go of are found by the acks of these nodes, in their order.

import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { Node } from '../../../src/controller/owners/node.ts';
import { Unacked } from '../../../src/controller/owners/unacked.ts';
import type { Address } from '../../../src/state/address.ts';
import { term } from '../ruling.ts';

const [one, two, three] = ['10.77.0.100', '10.77.0.101', '10.77.0.102'] as [Address, Address, Address];

/** Changes the placements of a node, so that they have another version. */
function told(node: Node): Node {
  const n = node.placements.seq + 1;
  node.tell({ set: [{ address: three, term: { ...term, n } }], remove: [], again: new Set() });
  return node;
}

test('an ack takes out the VIPs of its version and of those before, each once', () => {
  const [unacked, node, other] = [new Unacked(), new Node('a'), new Node('b')];
  for (const address of [one, two]) unacked.add(told(node), address);
  unacked.add(told(other), three);
  deepEqual(unacked.take(node), []);
  node.acked.placements = 1;
  deepEqual(unacked.take(node), [one]);
  node.acked.placements = 2;
  deepEqual([unacked.take(node), unacked.take(node), unacked.take(other)], [[two], [], []]);
});

test('a VIP that a node was told of again waits for the later version, and delays no other', () => {
  const [unacked, node] = [new Unacked(), new Node('a')];
  for (const address of [one, two, one]) unacked.add(told(node), address);
  node.acked.placements = 2;
  deepEqual(unacked.take(node), [two]);
  node.acked.placements = 3;
  deepEqual(unacked.take(node), [one]);
});
