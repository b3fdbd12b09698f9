// A connection is closed for the silence of its agent, and not for delays of the controller.
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '../../../src/controller/stream/connection.ts';
import { heartbeatMs } from '../../../src/protocol/messages.ts';

const helloTimeoutMs = 1000;
const silenceMs = 3 * heartbeatMs;

function connected() {
  const closed: string[] = [];
  const socket = {
    bufferedAmount: 0,
    send: () => undefined,
    close: (_code: number, reason: string) => closed.push(reason),
    terminate: () => undefined,
  };
  const connection = new Connection({
    socket,
    helloTimeoutMs,
    request: {} as never,
    follow: () => null,
    onEnding: () => undefined,
    onError: () => undefined,
  });
  return { connection, closed };
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
