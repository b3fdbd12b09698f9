// Frames that are nearly valid: each ends in a message or in a FrameError that names a field, on both sides.

import { test } from 'node:test';
import fc from 'fast-check';
import { openFrame, parseControllerMessage, readAgentMessage } from '../../src/protocol/parse.ts';
import { FrameError } from '../../src/protocol/shape.ts';
import { changed, endsWell, garbled } from '../hostile-values.ts';

const have = { count: 1, digests: { 96: '03cab92429bcd23b' } };
const placement = { address: '10.77.0.100', term: { generation: 1, n: 7 } };
const rule = {
  address: 'fd77::1',
  filtered: true,
  egress: false,
  ports: [{ protocol: 'TCP', port: 80, service: 'demo/web', delivery: 'host', sources: ['10.0.0.0/8'] }],
};
const refused = { key: '10.0.0.1', services: ['demo/web'], code: 'Forbidden', reason: 'x' };

const ofAgent = [
  {
    type: 'hello',
    version: '0',
    features: ['x'],
    node: 'n1',
    firewall: 'nftables',
    allow: ['10.0.0.0/8'],
    onLink: ['fd77::/64'],
    macs: ['02:00:5e:10:00:01'],
    cluster: null,
    generation: 1,
    rules: have,
    placements: have,
    held: [placement, { ...placement, address: '10.77.0.101', down: true }],
  },
  { type: 'ack', table: 'rules', seq: 1, commitUs: 2 },
  { type: 'refused', table: 'placements', ...refused },
  { type: 'refused', table: 'placements', ...refused, mac: '02:00:5e:10:00:01' },
  { type: 'accepted', table: 'rules', key: '10.0.0.1' },
  { type: 'held', vips: [{ ...placement, down: true }] },
  { type: 'heldDelta', set: [placement], remove: ['10.0.0.1'] },
  { type: 'resync', table: 'rules', have },
  { type: 'bye' },
];

const ofController = [
  { type: 'welcome', version: '0', features: [], cluster: 'c', generation: 1, ruling: true },
  { type: 'page', table: 'rules', buckets: [96], set: [rule] },
  { type: 'page', table: 'placements', buckets: [0], set: [placement] },
  { type: 'synced', table: 'rules', seq: 1, count: 1, digest: '03cab92429bcd23b' },
  {
    type: 'synced',
    table: 'placements',
    seq: 1,
    count: 1,
    digest: '03cab92429bcd23b',
    first: ['10.77.0.100'],
  },
  { type: 'delta', table: 'rules', from: 1, to: 2, set: [rule], remove: ['10.0.0.1'] },
  {
    type: 'delta',
    table: 'placements',
    from: 1,
    to: 2,
    set: [placement],
    remove: [],
    first: ['10.77.0.100'],
    quiet: ['10.77.0.100'],
  },
  { type: 'tick' },
];

for (const [side, parse, frames] of [
  ['an agent', (frame: string) => readAgentMessage(openFrame(frame)), ofAgent],
  ['a controller', parseControllerMessage, ofController],
] as const) {
  test(`any frame of ${side} is parsed or refused by a FrameError`, async () => {
    for (const frame of frames) parse(JSON.stringify(frame));
    const text = fc.oneof(
      changed(...frames).map((value) => JSON.stringify(value)),
      garbled(...frames.map((frame) => JSON.stringify(frame))),
      fc.json(),
    );
    await fc.assert(
      fc.asyncProperty(text, (frame) => endsWell(() => parse(frame), FrameError)),
      { numRuns: 4000 },
    );
  });
}
