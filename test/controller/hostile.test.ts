// Invalid frames and connections: each ends its own connection, with a code and a reason, and changes nothing
// else.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { frameLimitBytes, heldFrameLimitBytes } from '../../src/protocol/messages.ts';
import type { Address } from '../../src/state/address.ts';
import { runningController, service, type TestController, untilStatus } from './fixture.ts';
import { agentOf, TestAgent } from './test-agent.ts';

const first = '10.77.0.100' as Address;
const limit = { timeout: 20_000 };
const longLimit = { timeout: 120_000 };

/** A controller with one VIP; tests connect a witness to it, which an invalid connection must not affect. */
async function withWitness(t: TestContext, argv: readonly string[] = []) {
  const running = await runningController(t, { files: { 'a.yaml': service('web') }, argv });
  return running;
}

async function openSocket(t: TestContext, running: TestController): Promise<WebSocket> {
  const socket = new WebSocket(`${running.url.replace('http', 'ws')}/agent`, 'vipward.v1');
  t.after(() => socket.terminate());
  socket.on('error', () => undefined);
  await once(socket, 'open');
  return socket;
}

async function closing(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  return { code, reason: String(reason) };
}

const tick = '{"type":"tick"}';
const badFrames: readonly (readonly [name: string, frame: string | Buffer, code: number, reason: RegExp])[] =
  [
    ['text that is not JSON', 'hello?', 1008, /^not JSON/],
    ['a binary frame', Buffer.from([1, 2, 3]), 1003, /binary/],
    ['an unknown type', '{"type":"goodnight"}', 1008, /^type: /],
    ['no type', '{}', 1008, /^type: /],
    ['a list', '[]', 1008, /^frame: expected an object/],
    [
      'a type nested without end',
      `{"type":${'['.repeat(2e5)}${']'.repeat(2e5)}}`,
      1008,
      /^type: .*a list of 1/,
    ],
    ['a message before hello', tick, 1008, /expected hello first/],
    ['a hello without a field', '{"type":"hello"}', 1008, /^version: /],
    ['a frame that is too long', `{"type":"${'x'.repeat(frameLimitBytes)}"}`, 1009, /payload size/],
    ['a bye that is too long', `{"type":"bye","x":"${'x'.repeat(frameLimitBytes)}"}`, 1009, /payload size/],
    [
      'a long hello with a wrong field',
      `{"type":"hello","version":1,"x":"${'x'.repeat(frameLimitBytes)}"}`,
      1008,
      /^version: expected a text/,
    ],
    ['a frame that is longer than any may be', 'x'.repeat(heldFrameLimitBytes + 1), 1009, /^$/],
  ];

for (const [name, frame, code, reason] of badFrames) {
  test(`${name} closes its connection with ${code} and no other`, limit, async (t) => {
    const running = await withWitness(t);
    const witness = agentOf(t, running, 'n1');
    await witness.until(({ placements }) => placements.has(first));
    const socket = await openSocket(t, running);
    socket.send(frame);
    const closed = await closing(socket);
    equal(closed.code, code);
    match(closed.reason, reason);
    equal(witness.closed, null);
    await untilStatus(running, ({ refusedStreams }) => refusedStreams.length === 1);
    const [refused] = running.status().refusedStreams;
    deepEqual([refused?.node, refused?.code], [null, code]);
    // For a frame that is too long ws gives us more of a reason than the other side.
    match(refused?.reason ?? '', code === 1009 ? /payload size/ : reason);
    running.write('b.yaml', service('other'));
    await witness.until(({ rules }) => rules.size === 2);
  });
}

test('text that is not UTF-8 closes with 1007, and a reserved bit with 1002', limit, async (t) => {
  const running = await withWitness(t);
  for (const [code, bytes] of [
    [1007, [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]],
    [1002, [0xc1, 0x80, 0, 0, 0, 0]],
  ] as const) {
    const socket = await openSocket(t, running);
    const raw = (socket as unknown as { _socket: Socket })._socket;
    raw.write(Buffer.from(bytes));
    equal((await closing(socket)).code, code);
    await untilStatus(running, ({ refusedStreams }) => refusedStreams.at(-1)?.code === code);
  }
});

test('an ack of a number that was never sent closes the connection', limit, async (t) => {
  const running = await withWitness(t);
  const agent = agentOf(t, running, 'n1');
  await agent.synced();
  agent.send({ type: 'ack', table: 'rules', seq: 99, commitUs: 1 });
  const { code, reason } = await agent.untilClosed();
  equal(code, 1008);
  match(reason, /^seq: /);
  await untilStatus(running, ({ nodes }) => nodes[0]?.lastClosed !== null);
  match(running.status().nodes[0]?.lastClosed?.reason ?? '', /^seq: ack of rules 99, but the last sent is /);
});

test('the status has the reason with which an agent closed its stream', limit, async (t) => {
  const running = await withWitness(t);
  const agent = agentOf(t, running, 'n1');
  await agent.synced();
  agent.socket.close(1008, 'cluster: this node belongs to another');
  await untilStatus(running, ({ nodes }) => nodes[0]?.lastClosed !== null);
  const { code, reason } = running.status().nodes[0]?.lastClosed ?? {};
  deepEqual({ code, reason }, { code: 1008, reason: 'cluster: this node belongs to another' });
});

test('a resync is answered with the buckets that differ, and the stream stays open', limit, async (t) => {
  const running = await withWitness(t);
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  const have = { count: 7, digests: { '3': '0123456789abcdef' } };
  agent.rules.clear();
  agent.send({ type: 'resync', table: 'rules', have });
  await agent.until(({ rules }) => rules.has(first));
  const page = agent.heard.findLast(({ type }) => type === 'page');
  ok(
    page?.type === 'page' && page.buckets.includes(3),
    'the bucket that only the agent has is named, so that it is emptied',
  );
  equal(agent.closed, null);
});

test('a refusal of an address that is no VIP is not kept', limit, async (t) => {
  const running = await withWitness(t);
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  const refused = { type: 'refused', table: 'rules', services: [], code: 'KernelRefused', reason: 'x' };
  for (let n = 1; n < 200; n++) agent.send({ ...refused, key: `10.99.0.${n}` });
  agent.send({ ...refused, key: first });
  await untilStatus(running, ({ nodes }) => (nodes[0]?.refusals.length ?? 0) > 0);
  deepEqual(
    running.status().nodes[0]?.refusals.map(({ key }) => key),
    [first],
  );
});

test('the Services of a refusal, which an agent could make large, are not kept', limit, async (t) => {
  const running = await withWitness(t);
  const agent = agentOf(t, running, 'n1');
  await agent.until(({ placements }) => placements.has(first));
  const services = Array.from({ length: 10_000 }, (_, n) => `demo/${n}`);
  const refusal = { table: 'rules', key: first, code: 'KernelRefused', reason: 'x' };
  agent.send({ type: 'refused', ...refusal, services });
  await untilStatus(running, ({ nodes }) => (nodes[0]?.refusals.length ?? 0) > 0);
  deepEqual([...(running.controller.nodes.get('n1')?.refusals.values() ?? [])], [refusal]);
});

test('a new hello of a node closes its older connection, with a reason', limit, async (t) => {
  const running = await withWitness(t);
  const older = agentOf(t, running, 'n1');
  await older.until(({ placements }) => placements.has(first));
  const newer = agentOf(t, running, 'n1');
  await newer.synced();
  match((await older.untilClosed()).reason, /another connection said hello as n1/);
  running.write('b.yaml', service('other'));
  await newer.until(({ placements }) => placements.size === 2);
  equal(running.status().nodes.length, 1);
});

test('unfinished handshakes and silent connections do not delay 500 agents', longLimit, async (t) => {
  const running = await withWitness(t);
  const witness = agentOf(t, running, 'witness');
  await witness.until(({ placements }) => placements.has(first));
  const port = Number(new URL(running.url).port);
  const half = Array.from({ length: 50 }, () => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write('GET /agent HTTP/1.1\r\nHost: x\r\nUpgrade: webs'),
    );
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
    return socket;
  });
  const silent = await Promise.all(Array.from({ length: 50 }, () => openSocket(t, running)));
  const agents = Array.from({ length: 500 }, (_, index) => agentOf(t, running, `n${index}`));
  await Promise.all(agents.map((agent) => agent.synced()));
  running.write('b.yaml', service('other'));
  await Promise.all([witness, ...agents].map((agent) => agent.until(({ rules }) => rules.size === 2)));
  equal(witness.closed, null);
  deepEqual([half.length, silent.length], [50, 50]);
});

test('a connection that sends no hello in time is closed', limit, async (t) => {
  const running = await runningController(t, {
    files: { 'a.yaml': service('web') },
    timing: { helloTimeoutMs: 1 },
  });
  const socket = await openSocket(t, running);
  const { code, reason } = await closing(socket);
  equal(code, 1008);
  match(reason, /no hello/);
});

test('an agent that falls silent counts as disconnected, and keeps its VIP', limit, async (t) => {
  const running = await withWitness(t);
  const agent = new TestAgent(running.url, 'n1');
  t.after(() => agent.socket.terminate());
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  agent.ticks = false;
  await untilStatus(running, ({ nodes }) => nodes[0]?.connected === false);
  const [vip] = running.status().vips;
  deepEqual([vip?.node, vip?.state], ['n1', 'unowned']);
});
