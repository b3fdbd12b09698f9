// Nodes that were deleted while no controller ruled lose their VIPs. A list that may be wrong moves no VIP.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeletedNodes, type NodeList } from '../../../src/controller/owners/deleted-nodes.ts';
import { isServing } from '../../../src/controller/owners/serving.ts';
import { vipState } from '../../../src/controller/status/vip-state.ts';
import { untilTrue } from '../../patience.ts';
import { runningController } from '../fixture.ts';
import { hello, joined, ruling, servicesOf, settled, term, vip } from '../ruling.ts';
import { agentOf } from '../test-agent.ts';

/** Longer than every wait of these tests. */
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

/** Begins to rule: `b` is connected and has the rules, `a` has the VIPs by the records. */
async function begun(list: NodeList, count = 1) {
  const one = ruling({ count });
  const masses: number[] = [];
  const gone = new DeletedNodes({
    controller: one.controller,
    list,
    returnMs: lookMs / 10,
    massRemovalWaitMs: lookMs,
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

test('an absent node without a Node object loses its VIPs', async () => {
  const { one, at, gone } = await begun(new Listed(['b', 'c']));
  equal(at(), 'a');
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'b');
  equal(one.controller.nodes.get('a'), undefined);
});

test('an absent node with a Node object keeps its VIPs', async () => {
  const { at, gone } = await begun(new Listed(['a', 'b']));
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'a');
});

test('an agent outside the cluster keeps its VIPs after it was connected', async () => {
  const { one, at, gone } = await begun(new Listed(['b']));
  const a = joined(one, hello('a', [{ address: vip, term }]));
  one.sessions.close(a);
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'a');
});

test('a node without a Node object that comes back later may have VIPs again', async () => {
  const { one, at, gone } = await begun(new Listed(['b']));
  gone.progressed();
  await sleep(lookMs);
  equal(at(), 'b');
  const { node } = joined(one, hello('a'));
  equal(node.mayTake(vip), true);
});

test('an empty list of Nodes, or a second list that differs, moves no VIP', async () => {
  for (const list of [new Listed([]), new Listed(['b'], []), new Listed(['b'], ['a', 'b'])]) {
    const { at, gone } = await begun(list);
    gone.progressed();
    await sleep(lookMs);
    equal(at(), 'a');
  }
});

test('if most VIPs would move, the controller waits for a second list', async () => {
  const list = new Listed(['b'], ['a', 'b']);
  const { at, gone, masses } = await begun(list, 12);
  gone.progressed();
  await untilTrue(() => masses.length > 0);
  deepEqual([masses, list.wasAskedAgain], [[12], false]);
  await untilTrue(() => list.wasAskedAgain);
  equal(at(), 'a');
});

/** Node `a` has the VIP, its agent is connected, and its Node is deleted. */
async function deletedWhileHere() {
  const one = ruling();
  one.controller.publish({ set: servicesOf(1), remove: [] });
  const session = joined(one, hello('a', [{ address: vip, term }]));
  await settled(one);
  one.controller.forget('a');
  equal(one.controller.nodes.get('a'), session.node);
  return { ...one, session };
}

test('a node whose Node is deleted is forgotten when its agent disconnects', async () => {
  const { controller, sessions, session } = await deletedWhileHere();
  sessions.close(session);
  deepEqual([controller.nodes.get('a'), controller.nodes.isHeldByAbsent(vip)], [undefined, false]);
});

test('a look at a VIP does not bring back the deleted node that had it', async () => {
  const one = await deletedWhileHere();
  const { controller, sessions, session } = one;
  sessions.close(session);
  equal(vipState(controller, vip).state, 'unowned');
  equal(isServing(controller.owners, vip), false);
  equal(controller.nodes.get('a'), undefined);
});

test('a node whose Node is made again is not forgotten when its agent disconnects', async () => {
  const { controller, sessions, session } = await deletedWhileHere();
  controller.nodes.returned('a');
  sessions.close(session);
  deepEqual([controller.nodes.get('a'), controller.nodes.isHeldByAbsent(vip)], [session.node, true]);
});

test('the controller keeps no closed connection of a node that was forgotten', async (t) => {
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
