// How long an agent waits before it reconnects: briefly at first, longer later, and ever longer after refused
// frames.
import { deepEqual } from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { longestPauseMs } from '../../../src/agent/stream/reconnect.ts';
import { untilTrue } from '../../patience.ts';
import { type AgentSide, agentOf } from '../../protocol/agent-side.ts';
import { Peer } from '../../protocol/peer.ts';

test('a lost controller is retried within 0.5 s for ten seconds, then within 5 s', () => {
  const pauses = [0, 9999, 10_000, 1e9].map((lostForMs) => longestPauseMs({ lostForMs, faults: 0 }));
  deepEqual(pauses, [500, 500, 5000, 5000]);
});

test('each refused frame in a row doubles the pause, up to a minute', () => {
  const pauses = [1, 2, 3, 6, 7, 5000].map((faults) => longestPauseMs({ lostForMs: 0, faults }));
  deepEqual(pauses, [1000, 2000, 4000, 32_000, 60_000, 60_000]);
});

/** The pauses of an agent between its attempts at a controller to whose hellos the test answers. */
async function pausesOf(
  t: TestContext,
  {
    answer,
    share = 1,
    ...agent
  }: AgentSide & { readonly answer: (peer: Peer, round: number) => void; readonly share?: number },
): Promise<readonly number[]> {
  const pauses: number[] = [];
  const real = globalThis.setTimeout;
  t.mock.method(Math, 'random', () => share);
  t.mock.method(globalThis, 'setTimeout', (then: () => void, ms: number) => {
    pauses.push(ms);
    return real(then, ms / 100);
  });
  const peer = await Peer.listen(t, 1);
  agentOf(t, [peer.url], agent);
  const hellos = (): number => peer.types().filter((type) => type === 'hello').length;
  for (let round = 1; round <= 7; round++) {
    await untilTrue(() => hellos() >= round);
    answer(peer, round);
  }
  return pauses;
}

const doubled = [2000, 4000, 8000, 16_000, 32_000];
const ofDoubled = (pauses: readonly number[]) => pauses.filter((ms) => doubled.includes(ms));

test('a controller that sends only invalid frames is retried after ever longer pauses', {
  timeout: 60_000,
}, async (t) => {
  const answer = (peer: Peer) => peer.say({ type: 'nonsense' });
  deepEqual(ofDoubled(await pausesOf(t, { answer })), doubled);
});

test('a pause is a random share of the longest one', { timeout: 60_000 }, async (t) => {
  const answer = (peer: Peer) => peer.say({ type: 'nonsense' });
  const pauses = await pausesOf(t, { answer, share: 0.25 });
  deepEqual(ofDoubled(pauses), [2000, 4000, 8000]);
});

test('a controller of another cluster is retried after ever longer pauses', {
  timeout: 60_000,
}, async (t) => {
  deepEqual(ofDoubled(await pausesOf(t, { cluster: 'mine', answer: () => undefined })), doubled);
});

test('a controller whose cluster was corrected is retried in haste, also if it stands by', {
  timeout: 60_000,
}, async (t) => {
  const answer = (peer: Peer, round: number) => {
    if (round < 5) return;
    [peer.cluster, peer.ruling] = ['mine', false];
    if (round > 5) peer.close(1012, 'it restarts');
  };
  const pauses = await pausesOf(t, { cluster: 'mine', answer });
  deepEqual(ofDoubled(pauses), [2000, 4000, 8000, 16_000]);
});

test('an agent that another one with its name replaces comes back within 5 s, not at once', {
  timeout: 60_000,
}, async (t) => {
  const answer = (peer: Peer) => peer.close(1008, 'another connection said hello as n1, from 10.0.0.9');
  // Without a working controller for twenty seconds, it is in no haste by itself.
  let looks = 0;
  const now = () => performance.now() - (looks++ === 0 ? 20_000 : 0);
  const pauses = await pausesOf(t, { answer, now });
  const ofAttempts = pauses.filter((ms) => ms === 500 || ms === 5000);
  // First it looks whether another stream of its own is meant.
  deepEqual(ofAttempts.slice(0, 6), [500, 5000, 500, 5000, 500, 5000]);
});

test('a controller that answers no close frame is left like a silent one, though it sends ticks', {
  timeout: 20_000,
}, async (t) => {
  const peer = await Peer.listen(t, 1);
  agentOf(t, [peer.url]);
  const hellos = (): number => peer.types().filter((type) => type === 'hello').length;
  await untilTrue(() => hellos() === 1);
  peer.fallDeaf();
  peer.say({ type: 'nonsense' });
  // Left to itself, the library waits for 30 s.
  await untilTrue(() => hellos() === 2);
});
