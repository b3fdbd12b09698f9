// The log has the state of a stream each time that it changes, and not each attempt.

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCredentials } from '../../../src/agent/stream/credentials.ts';
import { StreamLog } from '../../../src/agent/stream/stream-log.ts';
import { folder, runningController, service } from '../../controller/fixture.ts';
import { logLines } from '../../log-lines.ts';
import { untilTrue } from '../../patience.ts';
import { agentOf } from '../../protocol/agent-side.ts';

const limit = { timeout: 60_000 };
const [url, address] = ['ws://c:9470', '10.0.0.1'];

function logged() {
  const { lines, log } = logLines();
  const events = () =>
    lines.map(({ event, reason }) => (reason === undefined ? event : `${event} ${reason}`));
  return { lines, log, events };
}

test('a stream failure is logged once per reason, however often the stream is tried', () => {
  const { lines, log, events } = logged();
  const streamLog = new StreamLog({ url, log, now: () => 0 });
  for (const reason of ['nobody listens', 'nobody listens', 'no such token', 'no such token'])
    streamLog.failed(reason, address);
  for (let times = 0; times < 3; times++) streamLog.open(address);
  deepEqual(events(), ['streamFailed nobody listens', 'streamFailed no such token', 'streamOpen']);
  const levels = lines.map((line) => [line.level, line.url]);
  deepEqual(levels, [
    [40, url],
    [40, url],
    [30, url],
  ]);
});

test('a flapping stream does not fill the log, and its state is logged a minute later', () => {
  const { log, events } = logged();
  let nowMs = 0;
  const streamLog = new StreamLog({ url, log, now: () => nowMs });
  for (let times = 0; times < 100; times++) {
    streamLog.open(address);
    streamLog.failed('replaced', address);
    streamLog.failed('nobody listens', address);
  }
  deepEqual(events(), ['streamOpen', 'streamFailed replaced', 'streamFailed nobody listens', 'streamOpen']);
  nowMs = 60_000;
  for (let times = 0; times < 2; times++) streamLog.failed('nobody listens', address);
  deepEqual(events().slice(4), ['streamFailed nobody listens']);
  nowMs = 600_000;
  streamLog.failed('nobody listens', address);
  deepEqual(events().slice(5), [], 'the state has not changed since');
});

test('the log says why a controller cannot be reached, and when its stream opens', limit, async (t) => {
  const { url: http } = await runningController(t, { files: { 'a.yaml': service('web') } });
  const { log, lines, events } = logged();
  const tokenFile = join(folder(t), 'token');
  let tries = 0;
  const credentials = () => {
    tries++;
    return readCredentials({ tokenFile, caFile: undefined, cert: undefined, key: undefined });
  };
  const ws = http.replace('http', 'ws');
  const { streams } = agentOf(t, [ws], { log, credentials });
  await untilTrue(() => tries > 3);
  equal(lines.length, 1);
  match(events()[0] ?? '', /^streamFailed ENOENT: .*; check --token-file/);
  writeFileSync(tokenFile, 'secret\n');
  await untilTrue(() => lines.length > 1);
  deepEqual([lines[1]?.event, lines[1]?.url], ['streamOpen', ws]);
  ok(streams.all.every(({ state }) => state === 'open'));
});

test('two streams that meet at one controller are not logged as a failure', limit, async (t) => {
  const { url: http } = await runningController(t, { files: { 'a.yaml': service('web') } });
  const { log, events } = logged();
  const ws = http.replace('http', 'ws');
  const { streams } = agentOf(t, [ws, `${ws}/`], { log });
  await untilTrue(() => streams.all.some(({ state }) => state === 'dormant'));
  await sleep(1000);
  ok(events().length > 0 && events().every((event) => event === 'streamOpen'), `${events()}`);
});
