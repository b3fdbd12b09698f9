// How streams ended, which connections were turned away, and how long acks took, by a clock of the test.

import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { ClosedConnections } from '../../../src/controller/stream/closed-connections.ts';
import { Latency } from '../../../src/controller/stream/latency.ts';

test('the last end of each node is remembered until the node is forgotten', () => {
  let nowMs = 500;
  const isKnown = (node: string) => node !== 'stranger';
  const closed = new ClosedConnections({ nowMs: () => nowMs, isKnown });
  equal(closed.lastOf('n1'), null);
  closed.ended('stranger', { node: 'stranger', code: 1008, reason: 'no' });
  equal(closed.lastOf('stranger'), null);
  closed.ended('n1', { node: 'n1', code: 1006, reason: 'first' });
  closed.ended('n2', { node: 'n2', code: 1008, reason: 'other' });
  nowMs = 1000;
  closed.ended('n1', { node: 'n1', code: 1001, reason: 'going' });
  nowMs = 3999;
  deepEqual(closed.lastOf('n1'), { node: 'n1', code: 1001, reason: 'going', secondsAgo: 2 });
  closed.forget('n1');
  deepEqual([closed.lastOf('n1'), closed.lastOf('n2')?.secondsAgo], [null, 3]);
  deepEqual(closed.recent, []);
});

test('connections that were turned away are counted by code, and the last ten kinds are remembered', () => {
  let nowMs = 0;
  const closed = new ClosedConnections({ nowMs: () => nowMs, isKnown: () => true });
  const codes = [400, 401, 403, 404, 503, 1002, 1003, 1007, 1008, 1009, 1011];
  deepEqual(
    [...closed.turnedAwayBy],
    [...codes.map(String), 'other'].map((code) => [code, 0]),
  );
  for (const code of [...codes, 503, 4999, 500]) closed.turnedAway({ node: null, code, reason: 'no' });
  deepEqual([...closed.turnedAwayBy.values()], [...codes.map((code) => (code === 503 ? 2 : 1)), 2]);
  // 503 came again, so it is later than the others, and the eldest of more than ten are gone.
  const kept = [404, 1002, 1003, 1007, 1008, 1009, 1011, 503, 4999, 500];
  deepEqual(
    closed.recent.map(({ code }) => code),
    kept,
  );
  nowMs = 2000;
  for (const [node, reason] of [
    [null, 'no'],
    ['n1', 'no'],
    ['n1', 'other'],
    ['n1', 'no'],
  ] as const)
    closed.turnedAway({ node, code: 1008, reason });
  nowMs = 3000;
  deepEqual(closed.recent.slice(-4), [
    { node: null, code: 500, reason: 'no', secondsAgo: 3 },
    { node: null, code: 1008, reason: 'no', secondsAgo: 1 },
    { node: 'n1', code: 1008, reason: 'other', secondsAgo: 1 },
    { node: 'n1', code: 1008, reason: 'no', secondsAgo: 1 },
  ]);
});

test('the latency of an ack is the time since its publication, for the last 4096 of them', () => {
  let nowMs = 10;
  const latency = new Latency(() => nowMs);
  deepEqual([latency.sinceMs(0), latency.sinceMs(1), latency.acknowledged(1)], [null, null, null]);
  latency.published(1);
  nowMs = 12;
  latency.published(2);
  nowMs = 17;
  deepEqual(
    [0, 1, 2, 3].map((seq) => latency.sinceMs(seq)),
    [null, 7, 5, null],
  );
  deepEqual([latency.acknowledged(2), latency.acknowledged(3)], [5, null]);
  const text = latency.seconds.text('lag', 'Lag.');
  match(
    text,
    /_bucket\{le="0\.0025"\} 0\n.*_bucket\{le="0\.005"\} 1\n(?:.*\n)*lag_sum 0\.005\nlag_count 1\n/,
  );
  const bounds = [...text.matchAll(/le="([\d.]+)"/g)].map(([, bound]) => Number(bound));
  const sub = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];
  deepEqual(bounds, [...sub, 1, 2.5, 5, 10]);
  nowMs = 20;
  for (let seq = 3; seq <= 4097; seq++) latency.published(seq);
  nowMs = 21;
  deepEqual(
    [1, 2, 3, 4097].map((seq) => latency.sinceMs(seq)),
    [null, 9, 1, 1],
  );
});
