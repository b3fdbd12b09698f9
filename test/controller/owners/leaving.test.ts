// The rules of a removed VIP are dropped when the last node has let go of its address.

import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { setHeld } from '../../../src/controller/owners/held.ts';
import { Leaving } from '../../../src/controller/owners/leaving.ts';
import { Node } from '../../../src/controller/owners/node.ts';
import type { AgentStream } from '../../../src/controller/stream/agent-stream.ts';
import type { Address } from '../../../src/state/address.ts';
import { hello, term, vip } from '../ruling.ts';

/** Two nodes that have the VIP, and the rules that were dropped, each time that any were. */
function leaving() {
  const dropped: (readonly Address[])[] = [];
  const all = new Leaving((addresses) => dropped.push(addresses));
  const nodes = ['a', 'b'].map((name) => {
    const node = new Node(name);
    node.connect(hello(name, [{ address: vip, term }]), {} as AgentStream);
    return node;
  });
  all.begin(new Map([[vip, nodes]]));
  return { all, nodes, dropped };
}

for (const isAckFirst of [true, false])
  test(`rules go once each node has let go and acknowledged that ${isAckFirst ? 'first' : 'last'}`, () => {
    const { all, nodes, dropped } = leaving();
    for (const node of nodes) {
      if (isAckFirst) {
        node.acked.placements = node.placements.seq;
        all.acked(node);
      }
      deepEqual(dropped, []);
      all.letGo(node, setHeld(node, []));
      if (isAckFirst) continue;
      all.acked(node);
      deepEqual(dropped, []);
      node.acked.placements = node.placements.seq;
      all.acked(node);
    }
    deepEqual([dropped, all.has(vip)], [[[vip]], false]);
  });

test('the rules of a VIP wait for connected nodes, and not for one that has gone', () => {
  const { all, nodes, dropped } = leaving();
  for (const node of nodes) {
    deepEqual([dropped, all.firstHolder(vip)], [[], node.name]);
    node.disconnect();
    all.gone(node);
  }
  deepEqual(dropped, [[vip]]);
});

test('the rules of a VIP that is wanted again stay when its former node lets go of it', () => {
  const { all, nodes, dropped } = leaving();
  deepEqual(all.cancel(vip), nodes[0]);
  for (const node of nodes) {
    node.disconnect();
    all.gone(node);
  }
  deepEqual([dropped, all.has(vip)], [[], false]);
});
