// What an agent is sent whose socket takes one frame at a time.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { AgentStream, bufferLimitBytes } from '../../src/controller/stream/agent-stream.ts';
import { Table } from '../../src/controller/stream/table.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { messageIn, nothing, nothingAtAll, publish, receiver, vip } from './test-receiver.ts';

/** An agent whose socket has room for one frame, and the stream of many rules to it, which has not begun. */
function narrow() {
  const rules = new Table('rules');
  for (const _ of rules.put({ set: Array.from({ length: 1000 }, (_, index) => vip(index)), remove: [] }));
  const agent = receiver(bufferLimitBytes);
  const stream = new AgentStream(agent.wire, rules, new Table('placements'));
  const readAll = () => {
    while (agent.queue.length > 0) {
      agent.drain();
      stream.pump();
    }
  };
  /** The counts of all `synced` that the agent has read. */
  const counts = () =>
    agent.frames.map(messageIn).flatMap((said) => /"synced".*"count":(\d+)/.exec(said)?.[1] ?? []);
  return { rules, agent, stream, readAll, counts };
}

test('a resync while pages are sent is answered after them: pages of two snapshots would mix', () => {
  const { rules, agent, stream, readAll, counts } = narrow();
  stream.begin(nothingAtAll);
  const page = JSON.parse(messageIn(agent.queue[0] ?? Buffer.of())) as { set: VirtualIp[] };
  publish(rules, [stream], [], [page.set[0]?.address ?? vip(0).address]);
  stream.resync('rules', nothing);
  readAll();
  deepEqual([counts(), agent.isWrong(), agent.state.size], [['1000', '999', '0'], false, 999]);
  // When nothing is being sent, the answer begins at once.
  stream.resync('rules', nothing);
  equal(agent.queue.length, 1);
});

test('a change before a stream begins is in its pages, and is not sent again', () => {
  const { rules, agent, stream, readAll } = narrow();
  publish(rules, [stream], [vip(0, 81)]);
  equal(agent.queue.length, 0);
  stream.begin(nothingAtAll);
  readAll();
  equal(agent.frames.filter((frame) => messageIn(frame).includes('"delta"')).length, 0);
});

test('a change between a read and the next write is neither sent too early nor lost', () => {
  const { rules, agent, stream, readAll } = narrow();
  stream.begin(nothingAtAll);
  agent.drain();
  publish(rules, [stream], [vip(0, 81)]);
  readAll();
  for (const index of [1, 2]) publish(rules, [stream], [vip(index, 81)]);
  agent.drain();
  publish(rules, [stream], [vip(3, 81)]);
  readAll();
  agent.forget();
  stream.resync('rules', nothing);
  agent.drain();
  publish(rules, [stream], [vip(4, 81)]);
  readAll();
  equal(agent.state.size, rules.size);
  for (const [key, json] of agent.state) deepEqual(JSON.parse(json), rules.get(key));
});
