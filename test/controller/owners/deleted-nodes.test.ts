// Nodes that were deleted while no controller ruled lose their VIPs; nobody does by a list that may be none.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeletedNodes, type NodeList } from '../../../src/controller/owners/deleted-nodes.ts';
import { untilTrue } from '../../patience.ts';
import { runningController } from '../fixture.ts';
import { hello, joined, ruling, servicesOf, settled, term, vip } from '../ruling.ts';
import { agentOf } from '../test-agent.ts';

/** Longer than everything that is waited for here. */
const lookMs = 100;

/** The Nodes of a cluster: `first` until they are listed again, `second` from then on. */
class Listed implements NodeList {
  nodes: ReadonlySet<string>;
  wasAskedAgain = false;
  readonly #second: ReadonlySet<string>;

  constructor(first: readonly string[], second: readonly string[] = first) {
    this.nodes = new Set(first);
    this.#second = new Set(second);
  }

  listNodesAgain(): Promise<void> {
    this.nodes = this.#second;
    this.wasAskedAgain = true;
    return Promise.resolve();
  }
}

/** Begins to rule where `b` is there with its rules and `a` has the VIPs by the records. */
async function begun(list: NodeList, count = 1) {
  const one = ruling({ count });
  const masses: number[] = [];
  const gone = new DeletedNodes({
    ...{ controller: one.controller, list, returnMs: lookMs / 10, massRemovalWaitMs: lookMs },
    onMass: (vips) => masses.push(vips),
    onGone: (nodes) => {
      for (const name of nodes) one.controller.forget(name);
      one.eligibility.gone = nodes;
    },
  });
  one.controller.publish({ set: servicesOf(count), remove: [] });
  joined(one, hello('b'));
  gone.progressed();
  await settled(one);
  const at = () => one.controller.owners.ownerOf(vip)?.node;
  return { one, masses, at, gone };
}

test('a node without a Node that has not come back loses its VIPs, as one that was deleted', async () => {
  const { one, at, gone } = await begun(new Listed(['b', 'c']));
  equal(at(), 'a');
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'b');
  equal(one.controller.nodes.get('a'), undefined);
});

test('a node that has a Node keeps its VIPs while it is away', async () => {
  const { at, gone } = await begun(new Listed(['a', 'b']));
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'a');
});

test('an agent outside the cluster keeps its VIPs by being there, and by having been', async () => {
  const { one, at, gone } = await begun(new Listed(['b']));
  const a = joined(one, hello('a', [{ address: vip, term }]));
  one.sessions.close(a);
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'a');
});

test('a node that comes back after all may have VIPs again', async () => {
  const { one, at, gone } = await begun(new Listed(['b']));
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'b');
  const { node } = joined(one, hello('a'));
  equal(node.mayTake(vip), true);
});

test('a list without any Node, or a second one that has them, moves nothing', async () => {
  for (const list of [new Listed([]), new Listed(['b'], []), new Listed(['b'], ['a', 'b'])]) {
    const { at, gone } = await begun(list);
    gone.progressed();
    await sleep(lookMs);
    equal(at(), 'a');
  }
});

test('where most VIPs would move the second list is waited for', async () => {
  const list = new Listed(['b'], ['a', 'b']);
  const { at, gone, masses } = await begun(list, 12);
  gone.progressed();
  await untilTrue(() => masses.length > 0);
  deepEqual([masses, list.wasAskedAgain], [[12], false]);
  await untilTrue(() => list.wasAskedAgain);
  equal(at(), 'a');
});

/** Node `a` has the VIP, its agent is here, and its Node is deleted. */
async function deletedWhileHere() {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const session = joined(one, hello('a', [{ address: vip, term }]));
  await settled(one);
  one.controller.forget('a');
  equal(one.controller.nodes.get('a'), session.node);
  return { ...one, session };
}

test('a Node that is deleted while its agent is here is forgotten when that goes', async () => {
  const { controller, sessions, session } = await deletedWhileHere();
  sessions.close(session);
  deepEqual([controller.nodes.get('a'), controller.nodes.isHeldByAbsent(vip)], [undefined, false]);
});

test('a Node that has come again by then is not', async () => {
  const { controller, sessions, session } = await deletedWhileHere();
  controller.nodes.returned('a');
  sessions.close(session);
  deepEqual([controller.nodes.get('a'), controller.nodes.isHeldByAbsent(vip)], [session.node, true]);
});

test('nothing is kept of the stream of a node that is forgotten as it ends', async (t) => {
  const running = await runningController(t);
  const { controller } = running;
  for (const isGone of [false, true]) {
    const agent = agentOf(t, running, 'n1');
    await agent.synced();
    if (isGone) controller.forget('n1');
    await agent.close();
    await untilTrue(() => controller.nodes.get('n1')?.isConnected !== true);
    equal(controller.closedConnections.lastOf('n1') === null, isGone);
  }
});
