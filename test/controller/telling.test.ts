// Many nodes that are told of a change: some in this turn, the others in later ones.

import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Nodes } from '../../src/controller/nodes.ts';
import { AgentStream } from '../../src/controller/stream.ts';
import { Table } from '../../src/controller/table.ts';
import { Telling } from '../../src/controller/telling.ts';
import type { Hello } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import type { VirtualIp } from '../../src/state/virtual-ip.ts';

const count = 100;
const nothing = { count: 0, digests: {} };

function vip(last: number): VirtualIp {
  return { address: `10.0.0.${last}` as Address, filtered: true, egress: false, ports: [] };
}

/** Sends so slowly that no more than the usual steps fit in a turn. */
function slowNodes() {
  const nodes = new Nodes();
  const rules = new Table('rules');
  const sent: Buffer[][] = [];
  for (let index = 0; index < count; index++) {
    const node = nodes.at(`n${index}`);
    const frames: Buffer[] = [];
    const send = (frame: Buffer): void => {
      for (const endMs = performance.now() + 1; performance.now() < endMs; );
      frames.push(frame);
    };
    const stream = new AgentStream({ send, bufferedAmount: 0 }, rules, node.placements);
    node.connect({ allow: [], onLink: [], held: [] } as Partial<Hello> as Hello, stream);
    stream.begin({ rules: nothing });
    frames.length = 0;
    sent.push(frames);
  }
  const telling = new Telling(nodes);
  const change = (last: number): void => {
    for (const one of rules.put({ set: [vip(last)], remove: [] })) telling.tell(one);
  };
  return { nodes, sent, telling, change };
}

/** The addresses that each frame to a node sets. */
function told(frames: readonly Buffer[]): string[][] {
  return frames.map((frame) => {
    const { set } = JSON.parse(String(frame)) as { set: { address: string }[] };
    return set.map(({ address }) => address);
  });
}

test('many nodes are told in turns, of one change by the same bytes', async () => {
  const { sent, telling, change } = slowNodes();
  change(1);
  const atOnce = sent.filter((frames) => frames.length > 0).length;
  ok(atOnce >= 32 && atOnce < count, `${atOnce} at once`);
  ok(telling.isUnderWay);
  while (telling.isUnderWay) await turn();
  ok(sent.every((frames) => frames.length === 1 && frames[0] === sent[0]?.[0]));
});

test('who has not been told yet is told of two changes by one frame', async () => {
  const { sent, telling, change } = slowNodes();
  change(1);
  const early = sent.filter((frames) => frames.length > 0);
  change(2);
  while (telling.isUnderWay) await turn();
  for (const frames of sent) {
    const expected = early.includes(frames) ? [['10.0.0.1'], ['10.0.0.2']] : [['10.0.0.1', '10.0.0.2']];
    deepEqual(told(frames), expected);
  }
});

test('a node that goes before its turn is told nothing', async () => {
  const { nodes, sent, telling, change } = slowNodes();
  change(1);
  nodes.at(`n${count - 1}`).disconnect();
  while (telling.isUnderWay) await turn();
  deepEqual([sent.at(-2)?.length, sent.at(-1)?.length], [1, 0]);
});
