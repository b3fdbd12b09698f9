// A connection is closed for the silence of its agent, and not for delays of the controller.
import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Closing } from '../../../src/controller/sessions.ts';
import { bufferLimitBytes } from '../../../src/controller/stream/agent-stream.ts';
import { Connection } from '../../../src/controller/stream/connection.ts';
import { type AgentMessage, frameLimitBytes, heartbeatMs } from '../../../src/protocol/messages.ts';

const helloTimeoutMs = 1000;
const silenceMs = 3 * heartbeatMs;

function connected(follow: (message: AgentMessage) => Closing | null = () => null) {
  const closed: string[] = [];
  const did = {
    codes: [] as number[],
    sent: [] as string[],
    terminated: 0,
    ended: 0,
    errors: [] as unknown[],
  };
  const sents: (() => void)[] = [];
  const socket = {
    bufferedAmount: 0,
    send: (frame: Buffer, sent: () => void) => {
      did.sent.push(frame.toString('utf8', 2));
      sents.push(sent);
    },
    close: (code: number, reason: string) => {
      did.codes.push(code);
      closed.push(reason);
    },
    terminate: () => did.terminated++,
  };
  const connection = new Connection({
    socket,
    helloTimeoutMs,
    request: {} as never,
    follow,
    onEnding: () => did.ended++,
    onError: (error) => did.errors.push(error),
  });
  return { connection, closed, did, socket, sents };
}

test('a connection without a hello in time is closed', () => {
  const { connection, closed } = connected();
  connection.tick(performance.now() + helloTimeoutMs / 2, true);
  deepEqual(closed, []);
  connection.tick(performance.now() + 2 * helloTimeoutMs, true);
  deepEqual(closed, ['no hello within 1000 ms']);
});

test('a hello that may be waiting to be read does not count as late', () => {
  const { connection, closed } = connected();
  const now = performance.now();
  connection.tick(now + 2 * helloTimeoutMs, false);
  deepEqual(closed, []);
  equal(connection.closing, null);
  connection.tick(now + 2 * helloTimeoutMs + 1, true);
  deepEqual(closed, ['no hello within 1000 ms']);
});

test('a connection is closed after three heartbeats of silence since its last message', async () => {
  const { connection, closed } = connected();
  connection.standbyNode = 'n1';
  connection.greeted();
  const beganMs = performance.now();
  await sleep(50);
  connection.heard(Buffer.from('{"type":"tick"}'), false);
  connection.tick(beganMs + silenceMs + 25, true);
  deepEqual(closed, []);
  connection.tick(performance.now() + silenceMs + 1, false);
  deepEqual(closed, []);
  connection.tick(performance.now() + 2 * silenceMs + 2, true);
  deepEqual(closed, [`nothing heard for ${silenceMs} ms`]);
});

const text = (value: string) => Buffer.from(value);

test('a frame that an agent may not send ends its connection, and what comes after it is not read', () => {
  const refused = { code: 1008, reason: 'no' };
  const broken = new TypeError('broken');
  const fails = (): never => {
    throw broken;
  };
  const padded = (type: string, bytes: number) => {
    const [start, end] = [`{"type":"${type}","x":"`, '"}'];
    return text(start + 'x'.repeat(bytes - start.length - end.length) + end);
  };
  const tooLong = /^payload size: at most \d+ bytes, except for hello, held, heldDelta$/;
  for (const [follow, data, isBinary, code, reason] of [
    [() => null, text('{"type":"tick"}'), true, 1003, /^binary frame: frames are JSON text$/],
    [() => null, text('{'), false, 1008, /^not JSON: /],
    [() => null, text('{"type":"x"}'), false, 1008, /^type: expected hello, /],
    [() => refused, text('{"type":"tick"}'), false, 1008, /^no$/],
    [fails, text('{"type":"tick"}'), false, 1011, /^the controller failed on this frame; read its log$/],
    [() => refused, padded('tick', frameLimitBytes), false, 1008, /^no$/],
    [() => refused, padded('tick', frameLimitBytes + 1), false, 1009, tooLong],
    [() => null, padded('held', frameLimitBytes + 1), false, 1008, /^vips: expected a list/],
    [() => null, Buffer.alloc(frameLimitBytes + 1, 'x'), false, 1009, tooLong],
  ] as const) {
    const { connection, closed, did } = connected(follow);
    connection.heard(data, isBinary);
    deepEqual([did.codes, did.ended, closed.length], [[code], 1, 1], `${reason}`);
    match(closed[0] ?? '', reason);
    equal(connection.closing?.code, code);
    deepEqual(did.errors, code === 1011 ? [broken] : []);
    connection.heard(text('{'), false);
    connection.close({ code: 1000, reason: '' });
    connection.broke(new Error('late'));
    deepEqual([did.codes, did.ended], [[code], 1]);
  }
});

test('a closed connection is ended if its agent does not answer, one with wrong framing by ws', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { connection, did } = connected();
  connection.safely(() => undefined);
  deepEqual(did.codes, []);
  connection.safely(() => {
    throw new Error('broken');
  });
  deepEqual([did.codes, did.errors.length], [[1011], 1]);
  t.mock.timers.tick(1999);
  equal(did.terminated, 0);
  t.mock.timers.tick(1);
  equal(did.terminated, 1);
  const other = connected();
  other.connection.broke(Object.assign(new Error('utf8'), { code: 'WS_ERR_INVALID_UTF8' }));
  deepEqual([other.connection.closing, other.did.codes], [{ code: 1007, reason: 'utf8' }, []]);
  equal(other.did.ended, 1);
});

test('an agent is sent a tick and what it lacks while its buffer has room', () => {
  const { connection, did, socket, sents } = connected();
  connection.greeted();
  const now = performance.now();
  connection.tick(now, true);
  deepEqual(did.sent, []);
  connection.standbyNode = 'n1';
  equal(connection.node, 'n1');
  socket.bufferedAmount = bufferLimitBytes;
  connection.tick(now, true);
  deepEqual([did.sent, connection.bufferedAmount], [[], bufferLimitBytes]);
  socket.bufferedAmount--;
  connection.tick(now + silenceMs - 1000, true);
  deepEqual(did.sent, ['{"type":"tick"}']);
  let pumped = 0;
  const session = { node: { name: 'n2' }, stream: { pump: () => pumped++ } };
  connection.session = session as unknown as NonNullable<typeof connection.session>;
  equal(connection.node, 'n2');
  sents[0]?.();
  socket.bufferedAmount = bufferLimitBytes;
  sents[0]?.();
  equal(pumped, 1);
  connection.tick(now + silenceMs + 1000, true);
  deepEqual([did.codes, did.terminated], [[1008], 1]);
});
