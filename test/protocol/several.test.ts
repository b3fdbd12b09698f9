// One agent and several controllers: which one it obeys, and what it sends to the others. Link and session
// are the agent's own, and there is no kernel behind them.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { untilTrue } from '../patience.ts';
import { agentOf } from './agent-side.ts';
import { Peer } from './peer.ts';

const limit = { timeout: 60_000 };

test('the agent obeys the ruling controller and sends a standby only hello and ticks', limit, async (t) => {
  const [ruling, standby] = [await Peer.listen(t, 4), await Peer.listen(t, 4, false)];
  const agent = agentOf(t, [ruling.url, standby.url]);
  await untilTrue(() => ruling.heard.length > 0 && standby.heard.length > 0);
  standby.state(81);
  ruling.state(80);
  await untilTrue(() => agent.port() === 80 && ruling.types().includes('ack'));
  await untilTrue(() => standby.heard.some(({ type }) => type === 'tick'));
  deepEqual(standby.types(), ['hello']);
  equal(agent.port(), 80);
  // Compression would cost more than it saves: it is not even offered.
  equal(ruling.extensions, undefined);
  deepEqual(
    agent.streams.all.map(({ state }) => state),
    ['open', 'open'],
  );
});

test('the agent obeys a standby that begins to rule, and refuses the former controller', limit, async (t) => {
  const [former, next] = [await Peer.listen(t, 4), await Peer.listen(t, 4, false)];
  const agent = agentOf(t, [former.url, next.url]);
  await untilTrue(() => former.heard.length > 0 && next.heard.length > 0);
  former.state(80);
  await untilTrue(() => agent.port() === 80);
  [next.generation, next.ruling] = [5, true];
  next.welcome();
  next.state(81);
  await untilTrue(() => agent.port() === 81);
  former.change(82, 9);
  former.welcome();
  await untilTrue(() => former.closed.length === 1);
  deepEqual([former.closed[0]?.code, agent.port()], [1008, 81]);
  match(former.closed[0]?.reason ?? '', /^generation: 4 is older than 5/);
  ok(next.types().includes('ack'));
  // The agent says hello once more, because its held VIPs may have changed since the hello to the standby.
  equal(next.types().filter((type) => type === 'hello').length, 2);
});

test('of two ruling controllers the agent obeys the higher generation, in either order', limit, async (t) => {
  for (const order of [
    [7, 6],
    [6, 7],
  ] as const) {
    const peers = [await Peer.listen(t, order[0], false), await Peer.listen(t, order[1], false)];
    const agent = agentOf(
      t,
      peers.map(({ url }) => url),
    );
    await untilTrue(() => peers.every(({ heard }) => heard.length > 0));
    for (const peer of peers) {
      peer.ruling = true;
      peer.welcome();
      peer.state(peer.generation);
      await untilTrue(() => agent.port() === peer.generation || peer.closed.length > 0);
    }
    equal(agent.port(), 7);
    equal(agent.session.generation, 7);
  }
});

test('without a ruling controller the agent keeps its rules, and then obeys the next', limit, async (t) => {
  const [ruling, standby] = [await Peer.listen(t, 4), await Peer.listen(t, 4, false)];
  const agent = agentOf(t, [ruling.url, standby.url]);
  await untilTrue(() => ruling.heard.length > 0 && standby.heard.length > 0);
  ruling.state(80);
  await untilTrue(() => agent.port() === 80);
  ruling.end();
  await untilTrue(() => !agent.session.ruled);
  equal(agent.port(), 80);
  [standby.generation, standby.ruling] = [5, true];
  standby.welcome();
  standby.change(99, 9);
  await untilTrue(() => standby.types().includes('resync'));
  standby.state(81);
  await untilTrue(() => agent.port() === 81);
});

test('the agent does not acknowledge on a new stream what it has received on another', limit, async (t) => {
  const [former, next] = [await Peer.listen(t, 4), await Peer.listen(t, 4, false)];
  const agent = agentOf(t, [former.url, next.url], { acksAtOnce: false });
  await untilTrue(() => former.heard.length > 0 && next.heard.length > 0);
  former.state(80);
  await untilTrue(() => agent.port() === 80);
  [next.generation, next.ruling] = [5, true];
  next.welcome();
  await untilTrue(() => agent.session.generation === 5);
  agent.ack(9);
  next.state(81);
  await untilTrue(() => agent.port() === 81);
  agent.ack(10);
  await untilTrue(() => next.types().includes('ack'));
  deepEqual(
    next.heard.filter(({ type }) => type === 'ack').map((ack) => 'seq' in ack && ack.seq),
    [10],
  );
  deepEqual(former.types(), ['hello']);
});

test('several deltas after a gap cause one resync', limit, async (t) => {
  const peer = await Peer.listen(t, 1);
  const agent = agentOf(t, [peer.url]);
  await untilTrue(() => peer.heard.length > 0);
  peer.state(80);
  for (let seq = 20; seq < 30; seq++) peer.change(1000 + seq, seq);
  await untilTrue(() => peer.types().includes('resync'));
  peer.state(81);
  await untilTrue(() => agent.port() === 81);
  deepEqual(peer.types().filter((type) => type === 'resync').length, 1);
  equal(peer.closed.length, 0);
});

test('a controller that stood by on an earlier stream is sent one hello on the next', limit, async (t) => {
  const peer = await Peer.listen(t, 4, false);
  const agent = agentOf(t, [peer.url]);
  await untilTrue(() => peer.heard.length > 0);
  peer.ruling = true;
  peer.close(1001, 'for a while');
  await untilTrue(() => agent.session.ruled);
  peer.state(80);
  await untilTrue(() => peer.types().includes('ack'));
  deepEqual(peer.types(), ['hello', 'hello', 'ack']);
});

test('the agent says hello again once it has ways that the last hello did not tell', limit, async (t) => {
  const [ruling, standby] = [await Peer.listen(t, 4), await Peer.listen(t, 4, false)];
  let ways = ['10.0.0.0/24', '02:00:5e:10:00:01'];
  const { session, streams } = agentOf(t, [ruling.url, standby.url], { ways: () => ways });
  const areOpen = () => streams.all.every(({ state }) => state === 'open');
  await untilTrue(areOpen);
  ways = ways.slice(1);
  session.reintroduce();
  equal(areOpen(), true);
  ways = [...ways, '10.0.1.0/24'];
  session.reintroduce();
  await untilTrue(() => [ruling, standby].every(({ closed }) => closed.length === 1) && areOpen());
  for (const { closed } of [ruling, standby])
    equal(closed[0]?.reason, 'the prefixes or MACs of the node have changed: reconnecting');
});

test('the agent asks again three times on each stream', limit, async (t) => {
  const peer = await Peer.listen(t, 1);
  agentOf(t, [peer.url]);
  for (const stream of [1, 2]) {
    await untilTrue(() => peer.types().filter((type) => type === 'hello').length === stream);
    const wrong = { type: 'synced', table: 'rules', seq: 0, count: 1, digest: '0'.repeat(16) };
    for (let tries = 0; tries < 4; tries++) peer.say(wrong);
    await untilTrue(() => peer.closed.length === stream);
    equal(peer.types().filter((type) => type === 'resync').length, 3 * stream);
  }
});

test(
  'the agent obeys the ruling controller although a name server shuffles its answers',
  limit,
  async (t) => {
    const standby = await Peer.listen(t, 4, false);
    const { port, origin } = new URL(standby.url);
    const ruling = await Peer.listen(t, 4, true, { host: '127.0.0.2', port: Number(port) });
    const answer = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    let asked = 0;
    const lookup = async () => (asked++ % 2 === 0 ? answer : answer.toReversed());
    const agent = agentOf(t, [origin.replace('127.0.0.1', 'controllers.invalid')], { lookup });
    await untilTrue(() => ruling.heard.length > 0 && standby.heard.length > 0);
    ruling.state(80);
    await untilTrue(() => agent.port() === 80);
    // A stream that ends reconnects to the address that no other stream has.
    standby.close(1001, 'for a while');
    await untilTrue(() => standby.types().filter((type) => type === 'hello').length === 2);
    const hellos = ruling.types().filter((type) => type === 'hello');
    deepEqual([ruling.closed, agent.port(), hellos], [[], 80, ['hello']]);
  },
);

test(
  'the agent may remove something, and belongs to a cluster, once both tables are whole',
  limit,
  async (t) => {
    const peer = await Peer.listen(t, 1);
    const agent = agentOf(t, [peer.url]);
    await untilTrue(() => peer.heard.length > 0);
    peer.stateOfRules(80);
    await untilTrue(() => agent.port() === 80);
    deepEqual([agent.syncs(), agent.session.cluster], [0, null]);
    peer.state(80);
    await untilTrue(() => agent.syncs() > 0);
    equal(agent.session.cluster, 'c');
  },
);
