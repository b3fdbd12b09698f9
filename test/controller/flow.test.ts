// Tables and streams without sockets: what is serialised once, what a slow agent costs, and that nobody
// misses anything.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentStream, bufferLimitBytes, type Wire } from '../../src/controller/stream.ts';
import { frameTargetBytes, sha256, Table } from '../../src/controller/table.ts';
import { Digests } from '../../src/protocol/digest.ts';
import { frameLimitBytes, pageServices, type TableDigest } from '../../src/protocol/messages.ts';
import { parseControllerMessage } from '../../src/protocol/parse.ts';
import type { Address } from '../../src/state/address.ts';
import { type Port, Protocol } from '../../src/state/port.ts';
import type { ServiceKey } from '../../src/state/service.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';

const nothing: TableDigest = { count: 0, digests: {} };
const nothingAtAll = { rules: nothing, placements: nothing };

function vip(index: number, port = 80, ports = 1): VirtualIp {
  const address = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}` as Address;
  const list = Array.from({ length: ports }, (_, offset) => ({
    protocol: Protocol.TCP,
    port: (port + offset) as Port,
    service: `demo/s${index}` as ServiceKey,
    delivery: 'host' as const,
    sources: null,
  }));
  return { address, filtered: true, egress: false, ports: list };
}

/** A wire that keeps what it is given until it is drained, and a receiver behind it. */
function receiver() {
  const queue: Buffer[] = [];
  const state = new Map<Address, VirtualIp>();
  const frames: Buffer[] = [];
  let seq: number | null = null;
  let pages: { buckets: Set<number>; set: VirtualIp[] } | null = null;
  const digests = new Digests(sha256);
  const wire: Wire = {
    send: (frame) => void queue.push(frame),
    get bufferedAmount() {
      return queue.reduce((sum, { length }) => sum + length, 0);
    },
    close: () => undefined,
  };
  const take = (frame: Buffer) => {
    frames.push(frame);
    const message = parseControllerMessage(frame.toString());
    if (message.type === 'page' && message.table === 'rules') {
      pages ??= { buckets: new Set(), set: [] };
      for (const bucket of message.buckets) pages.buckets.add(bucket);
      pages.set.push(...message.set);
    } else if (message.type === 'synced' && message.table === 'rules') {
      for (const key of [...state.keys()]) if (pages?.buckets.has(digests.bucketOf(key))) state.delete(key);
      for (const resource of pages?.set ?? []) state.set(resource.address, resource);
      pages = null;
      seq = message.seq;
      checkDigest(message.digest, message.count);
    } else if (message.type === 'delta' && message.table === 'rules') {
      equal(message.from, seq, 'no gap is ever sent');
      for (const resource of message.set) state.set(resource.address, resource);
      for (const key of message.remove) state.delete(key);
      seq = message.to;
    }
  };
  const checkDigest = (digest: string, count: number) => {
    const own = new Digests(sha256);
    for (const resource of state.values()) own.set(resource);
    deepEqual([own.total(), own.count], [digest, count]);
  };
  const drain = (most = Number.POSITIVE_INFINITY) => {
    for (let taken = 0; queue.length > 0 && taken < most; taken++) take(queue.shift() ?? Buffer.of());
  };
  return { wire, state, frames, queue, drain };
}

function publish(
  rules: Table<'rules'>,
  streams: readonly AgentStream[],
  set: VirtualIp[],
  remove: Address[] = [],
): void {
  for (const change of rules.put({ set, remove }))
    for (const stream of streams) stream.publish('rules', change);
}

test('a change is serialised once, and every agent is given the same bytes', () => {
  const rules = new Table('rules');
  const receivers = Array.from({ length: 3 }, receiver);
  const streams = receivers.map(({ wire }) => new AgentStream(wire, rules, new Table('placements')));
  for (const stream of streams) stream.begin(nothingAtAll);
  publish(rules, streams, [vip(1)]);
  const [first, ...others] = receivers.map(({ queue }) => queue.at(-1));
  ok(first !== undefined && others.every((frame) => frame === first));
});

test('what did not change is not published', () => {
  const rules = new Table('rules');
  equal([...rules.put({ set: [vip(1)], remove: [] })].length, 1);
  equal([...rules.put({ set: [vip(1)], remove: [vip(2).address] })].length, 0);
  equal(rules.seq, 1);
});

test('many changes are cut into frames that each fit', () => {
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

test('pages hold at most 500 Services, and agents that come together share them', () => {
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
    const message = parseControllerMessage(frame.toString());
    if (message.type === 'page') ok(message.set.length <= pageServices);
  }
});

test('an agent that reads nothing costs its buffer, and is sent the latest when it reads again', () => {
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
    deepEqual(slow.state.get(vip(index).address), rules.get(vip(index).address));
});

test('placements wait until every rule has been sent', () => {
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

test('whatever changes and however slowly an agent reads, it ends with the table', () => {
  const step = fc.record({
    set: fc.array(
      fc.record({ index: fc.nat(12), port: fc.integer({ min: 1, max: 9 }), ports: fc.constantFrom(1, 4000) }),
      { maxLength: 4 },
    ),
    remove: fc.array(fc.nat(12), { maxLength: 2 }),
    drain: fc.nat(3),
    resync: fc.boolean(),
  });
  const property = fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
    const rules = new Table('rules');
    const agent = receiver();
    const stream = new AgentStream(agent.wire, rules, new Table('placements'));
    stream.begin(nothingAtAll);
    for (const { set, remove, drain, resync } of steps) {
      const vips = new Map(set.map(({ index, port, ports }) => [index, vip(index, port, ports)]));
      publish(
        rules,
        [stream],
        [...vips.values()],
        remove.filter((index) => !vips.has(index)).map((index) => vip(index).address),
      );
      agent.drain(drain);
      if (resync) {
        const have = new Digests(sha256);
        for (const resource of agent.state.values()) have.set(resource);
        agent.drain();
        stream.resync('rules', have.summary());
      }
      stream.pump();
    }
    while (agent.queue.length > 0) {
      agent.drain();
      stream.pump();
    }
    deepEqual([...agent.state.keys()].sort(), [...rules.keys()].sort());
    for (const [key, resource] of agent.state) deepEqual(resource, rules.get(key));
  });
  fc.assert(property, { numRuns: 60 });
});
