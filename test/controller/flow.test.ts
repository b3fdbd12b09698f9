// Tables and streams without sockets: what is serialised once, and what a slow agent costs.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentStream, bufferLimitBytes } from '../../src/controller/stream/agent-stream.ts';
import { frameTargetBytes, Table } from '../../src/controller/stream/table.ts';
import { frameLimitBytes, pageServices } from '../../src/protocol/messages.ts';
import { parseControllerMessage } from '../../src/protocol/parse.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';
import { messageIn, nothingAtAll, publish, receiver, vip } from './test-receiver.ts';

test('a change is serialised once, and every agent is sent the same bytes', () => {
  const rules = new Table('rules');
  const receivers = Array.from({ length: 3 }, () => receiver());
  const streams = receivers.map(({ wire }) => new AgentStream(wire, rules, new Table('placements')));
  for (const stream of streams) stream.begin(nothingAtAll);
  publish(rules, streams, [vip(1)]);
  const [first, ...others] = receivers.map(({ queue }) => queue.at(-1));
  ok(first !== undefined && others.every((frame) => frame === first));
});

test('a VIP that did not change is not published', () => {
  const rules = new Table('rules');
  equal([...rules.put({ set: [vip(1)], remove: [] })].length, 1);
  equal([...rules.put({ set: [vip(1)], remove: [vip(2).address] })].length, 0);
  equal(rules.seq, 1);
});

test('many changes are split into frames below the limit', () => {
  const rules = new Table('rules');
  const many = [...rules.put({ set: Array.from({ length: 1200 }, (_, index) => vip(index)), remove: [] })];
  deepEqual(
    many.map(({ keys }) => keys.length),
    [500, 500, 200],
  );
  const large = [...rules.put({ set: [vip(1, 1, 9000), vip(2, 1, 9000)], remove: [] })];
  equal(large.length, 2);
  for (const { frame } of large) ok(frame.length < frameLimitBytes && frame.length > frameTargetBytes / 2);
});

test('pages hold at most 500 Services, and agents that connect together share them', () => {
  const rules = new Table('rules');
  for (const _ of rules.put({ set: Array.from({ length: 2000 }, (_, index) => vip(index)), remove: [] }));
  const [one, two] = [receiver(), receiver()];
  for (const { wire } of [one, two])
    new AgentStream(wire, rules, new Table('placements')).begin(nothingAtAll);
  ok(
    one.queue.length >= 5 &&
      one.queue.every((frame, index) => frame === two.queue[index] || frame.length < 200),
  );
  one.drain();
  equal(one.state.size, 2000);
  for (const frame of one.frames) {
    const message = parseControllerMessage(messageIn(frame));
    if (message.type === 'page') ok(message.set.length <= pageServices);
  }
});

test('an agent that reads nothing costs one buffer, and is sent the latest VIPs when it reads again', () => {
  const rules = new Table('rules');
  const slow = receiver();
  const stream = new AgentStream(slow.wire, rules, new Table('placements'));
  stream.begin(nothingAtAll);
  for (let port = 1; port <= 5000; port++) publish(rules, [stream], [vip(port % 7, port, 20)]);
  ok(slow.wire.bufferedAmount < bufferLimitBytes + 10_000, `${slow.wire.bufferedAmount} bytes wait`);
  const waiting = slow.queue.length;
  slow.drain();
  stream.pump();
  equal(slow.queue.length, 1);
  slow.drain();
  ok(waiting < 2000);
  for (let index = 0; index < 7; index++)
    deepEqual(JSON.parse(slow.state.get(vip(index).address) ?? ''), rules.get(vip(index).address));
});

test('more rules than fit into one frame are sent as pages, which agents share', () => {
  for (const set of [
    Array.from({ length: pageServices + 1 }, (_, index) => vip(index)),
    [vip(1, 1, 9000), vip(2, 1, 9000)],
  ]) {
    const rules = new Table('rules');
    const slow = [receiver(bufferLimitBytes), receiver(bufferLimitBytes)];
    const streams = slow.map(({ wire }) => new AgentStream(wire, rules, new Table('placements')));
    for (const stream of streams) stream.begin(nothingAtAll);
    publish(rules, streams, set);
    for (const [index, { queue, drain }] of slow.entries())
      while (queue.length > 0) {
        drain();
        streams[index]?.pump();
      }
    const pages = slow.map(({ frames }) => frames.filter((frame) => messageIn(frame).includes('"page"')));
    ok(pages[0]?.length === 2 && pages[0].every((page, index) => page === pages[1]?.[index]));
    for (const { state, isWrong } of slow) deepEqual([state.size, isWrong()], [set.length, false]);
  }
});

test('placements are sent after all rules', () => {
  const rules = new Table('rules');
  for (const _ of rules.put({
    set: Array.from({ length: 3000 }, (_, index) => vip(index, 80, 20)),
    remove: [],
  }));
  const placements = new Table('placements');
  for (const _ of placements.put({
    set: [{ address: vip(1).address, term: { generation: 1, n: 1 } }],
    remove: [],
  }));
  const { wire, queue, drain, frames } = receiver();
  const stream = new AgentStream(wire, rules, placements);
  stream.begin(nothingAtAll);
  ok(queue.every((frame) => !frame.includes('"table":"placements"')));
  while (queue.length > 0) {
    drain(1);
    stream.pump();
  }
  const tables = frames.map((frame) => (frame.includes('"table":"placements"') ? 'p' : 'r')).join('');
  ok(/^r+p+$/.test(tables), tables);
});

/** VIPs are made once, because a property uses the same ones many times. */
const choices: readonly (readonly VirtualIp[])[] = Array.from({ length: 4 }, (_, index) => [
  vip(index, 1),
  vip(index, 2),
  vip(index, 1, 4000),
]);
const step = fc.record({
  set: fc.array(fc.record({ index: fc.nat(3), choice: fc.nat(2) }), { maxLength: 6 }),
  remove: fc.array(fc.nat(3), { maxLength: 2 }),
  /** Frames that are read before and, if there is a resync, while it is on its way. */
  reads: fc.tuple(fc.nat(3), fc.nat(3)),
  resync: fc.constantFrom('none', 'none', 'none', 'keeps', 'forgets'),
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const one = (choice: number | null, read: number, resync: Step['resync'] = 'none'): Step => ({
  set: choice === null ? [] : [{ index: 0, choice }],
  remove: choice === null ? [0] : [],
  reads: [read, 0],
  resync,
});
/** The agent sends its digests while a delta is unread and the one that undoes it is not sent yet. */
const goneThere = [one(0, 1), one(1, 1), one(0, 1), one(null, 0), one(0, 0, 'keeps')];

test('after any changes, resyncs and late reads an agent ends with the table of the controller', () => {
  const property = fc.property(fc.array(step, { maxLength: 15 }), (steps) => {
    const rules = new Table('rules');
    const agent = receiver(400_000);
    const stream = new AgentStream(agent.wire, rules, new Table('placements'));
    stream.begin(nothingAtAll);
    for (const { set, remove, reads, resync } of steps) {
      const vips = new Map(set.map(({ index, choice }) => [index, choices[index]?.[choice] ?? vip(index)]));
      const gone = remove.filter((index) => !vips.has(index)).map((index) => vip(index).address);
      publish(rules, [stream], [...vips.values()], gone);
      agent.drain(reads[0]);
      if (resync !== 'none') {
        const have = agent.have();
        if (resync === 'forgets') agent.forget();
        agent.drain(reads[1]);
        stream.resync('rules', have);
      }
      stream.pump();
    }
    for (let tries = 0; ; tries++) {
      while (agent.queue.length > 0) {
        agent.drain();
        stream.pump();
      }
      if (!agent.isWrong()) break;
      ok(
        tries < 3 && steps.some(({ resync }) => resync === 'forgets'),
        'the digest is wrong though the agent forgot nothing',
      );
      stream.resync('rules', agent.have());
    }
    deepEqual([...agent.state.keys()].sort(), [...rules.keys()].sort());
    for (const [key, json] of agent.state) deepEqual(JSON.parse(json), rules.get(key));
    deepEqual(rules.differing(agent.have()), []);
  });
  fc.assert(property, { numRuns: 60, examples: [[goneThere]] });
});
