// Two streams of one agent to one controller, which keeps one per node, do not end each other for ever.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { runningController, service } from '../controller/fixture.ts';
import { untilTrue } from '../patience.ts';
import { agentOf } from './agent-side.ts';
import { Peer } from './peer.ts';

const limit = { timeout: 60_000 };

test('of two streams to one controller one is dormant until the other ends', limit, async (t) => {
  const { url } = await runningController(t, { files: { 'a.yaml': service('web') } });
  const ws = url.replace('http', 'ws');
  const { streams } = agentOf(t, [ws, `${ws}/`]);
  const states = () => streams.all.map(({ state }) => state).sort();
  const open = () => streams.all.find(({ state }) => state === 'open');
  for (let round = 0; round < 3; round++) {
    await untilTrue(() => `${states()}` === 'dormant,open');
    const [first, dormant] = [open(), streams.all.find(({ state }) => state === 'dormant')];
    match(dormant?.reason ?? '', /^reaches the controller of ws:.*; takes over when that stream ends$/);
    // Nothing changes for longer than the pause before an attempt.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    deepEqual([open() === first, states()], [true, ['dormant', 'open']]);
    first?.refuse('to see the other one take over');
    await untilTrue(() => dormant?.state === 'open');
  }
});

test('a URL that is given twice gets one stream', limit, async (t) => {
  const peer = await Peer.listen(t, 1);
  const { streams } = agentOf(t, [peer.url, peer.url]);
  await untilTrue(() => peer.heard.length > 0);
  equal(streams.all.length, 1);
});

test('a replaced stream reconnects while a stream to another controller stays open', limit, async (t) => {
  const [replacing, other] = [await Peer.listen(t, 4), await Peer.listen(t, 4, false)];
  const { streams } = agentOf(t, [replacing.url, other.url]);
  await untilTrue(() => streams.all.every(({ state }) => state === 'open') && replacing.types().length === 1);
  replacing.close(1008, 'another connection said hello as n1');
  await untilTrue(() => replacing.types().filter((type) => type === 'hello').length === 2);
  equal(other.types().length, 1);
});

/** Another address of the controller at 127.0.0.1, as one of a second family is. */
async function alsoAt(t: TestContext, host: string, port: number): Promise<void> {
  const server = createServer((socket) => {
    const onward = connect({ host: '127.0.0.1', port });
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const)
      from.on('error', () => to.destroy()).pipe(to);
  });
  await once(server.listen(port, host), 'listening');
  t.after(() => server.close());
}

test('a dormant stream connects to a new address of its name, and the open one stays', limit, async (t) => {
  const { url, controller } = await runningController(t, { files: { 'a.yaml': service('web') } });
  const { port } = new URL(url);
  await alsoAt(t, '127.0.0.2', Number(port));
  const at = { host: '127.0.0.3', port: Number(port), cluster: controller.cluster };
  const standby = await Peer.listen(t, 1, false, at);
  let addresses = ['127.0.0.1', '127.0.0.2'];
  const lookup = async () => addresses.map((address) => ({ address, family: 4 }));
  const { streams } = agentOf(t, [`ws://controllers.invalid:${port}`], { lookup, lookAgainMs: 200 });
  const states = () => streams.all.map(({ state }) => state).sort();
  await untilTrue(() => `${states()}` === 'dormant,open');
  const [open, dormant] = ['open', 'dormant'].map((wanted) =>
    streams.all.find(({ state }) => state === wanted),
  );
  // A lookup without a new address wakes no stream.
  for (let looks = 0; looks < 100; looks++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    deepEqual([states(), dormant?.state], [['dormant', 'open'], 'dormant']);
  }
  addresses = ['127.0.0.2', '127.0.0.1', '127.0.0.3'];
  await untilTrue(() => standby.types().includes('hello'));
  await untilTrue(() => dormant?.state === 'open');
  // Two of the three addresses reach one controller: no stream connects to the second, at any lookup.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  deepEqual([open?.state, states(), standby.types()], ['open', ['open', 'open'], ['hello']]);
  // With the addresses as before, the stream that reconnects is dormant as before.
  addresses = ['127.0.0.2', '127.0.0.1'];
  standby.end();
  await untilTrue(() => dormant?.state === 'dormant');
  equal(open?.state, 'open');
});

test('the agent connects to a new address of a name although no stream ends', limit, async (t) => {
  const ruling = await Peer.listen(t, 4);
  const { port } = new URL(ruling.url);
  let addresses = ['127.0.0.1'];
  const lookup = async () => addresses.map((address) => ({ address, family: 4 }));
  const { streams } = agentOf(t, [`ws://controllers.invalid:${port}`], { lookup, lookAgainMs: 50 });
  await untilTrue(() => ruling.types().includes('hello'));
  const standby = await Peer.listen(t, 4, false, { host: '127.0.0.2', port: Number(port) });
  addresses = ['127.0.0.2', '127.0.0.1'];
  await untilTrue(() => standby.types().includes('hello'));
  ok(streams.all.length === 2 && ruling.closed.length === 0);
});

test('a name with an address of another cluster leads back to the right one', limit, async (t) => {
  const right = await Peer.listen(t, 4);
  const port = Number(new URL(right.url).port);
  const wrong = await Peer.listen(t, 9, true, { host: '127.0.0.2', port, cluster: 'other' });
  const lookup = async () => ['127.0.0.2', '127.0.0.1'].map((address) => ({ address, family: 4 }));
  agentOf(t, [`ws://controllers.invalid:${port}`], { cluster: 'c', lookup });
  const hellos = () => right.types().filter((type) => type === 'hello').length;
  for (let round = 1; round <= 2; round++) {
    await untilTrue(() => hellos() === round && wrong.closed.length > 0);
    right.close(1012, 'it restarts');
    await new Promise((resolve) => setTimeout(resolve, 2500));
    equal(hellos(), round + 1);
  }
});
