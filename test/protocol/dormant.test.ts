// Two streams of one agent to one controller, which keeps one a node: they do not end each other for ever.

import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { runningController, service } from '../controller/fixture.ts';
import { agentOf, until } from './agent-side.ts';
import { Peer } from './peer.ts';

const limit = { timeout: 60_000 };

test('one stream goes on and the other is dormant until it ends', limit, async (t) => {
  const { url } = await runningController(t, { files: { 'a.yaml': service('web') } });
  const ws = url.replace('http', 'ws');
  const { link } = agentOf(t, [ws, `${ws}/`]);
  const states = () => link.streams.map(({ state }) => state).sort();
  const open = () => link.streams.find(({ state }) => state === 'open');
  for (let round = 0; round < 3; round++) {
    await until(() => `${states()}` === 'dormant,open');
    const [first, dormant] = [open(), link.streams.find(({ state }) => state === 'dormant')];
    match(dormant?.reason ?? '', /^reaches the controller of ws:.*; takes over when that stream ends$/);
    // As long as it is there nothing changes, for longer than the pause before an attempt.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    deepEqual([open() === first, states()], [true, ['dormant', 'open']]);
    first?.refuse('to see the other one take over');
    await until(() => dormant?.state === 'open');
  }
});

test('a URL that is given twice is one stream', limit, async (t) => {
  const peer = await Peer.listen(t, 1);
  const { link } = agentOf(t, [peer.url, peer.url]);
  await until(() => peer.heard.length > 0);
  equal(link.streams.length, 1);
});

test('who is replaced at one controller comes back, whatever others reach', limit, async (t) => {
  const [replacing, other] = [await Peer.listen(t, 4), await Peer.listen(t, 4, false)];
  const { link } = agentOf(t, [replacing.url, other.url]);
  await until(() => link.streams.every(({ state }) => state === 'open') && replacing.types().length === 1);
  replacing.close(1008, 'another connection said hello as n1');
  await until(() => replacing.types().filter((type) => type === 'hello').length === 2);
  equal(other.types().length, 1);
});
