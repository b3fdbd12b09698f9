// The log lines for requested moves and drains.
import { deepEqual, match } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { logLines } from '../../log-lines.ts';
import { folder, runningController, service, untilStatus } from '../fixture.ts';
import { post } from '../post.ts';
import { agentOf } from '../test-agent.ts';

test('each move, drain and undrain logs the operator, its address, the request and the result', async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'operator secret\nn1 one\nn2 two\n');
  const { log, lines } = logLines();
  const argv = ['--token-file', tokens];
  const running = await runningController(t, { log, argv, files: { 'a.yaml': service('web') } });
  agentOf(t, running, 'n1', { token: 'one' });
  await untilStatus(running, ({ vips }) => vips[0]?.state === 'serving');
  await agentOf(t, running, 'n2', { token: 'two' }).synced();
  const vip = '10.77.0.100';
  await post(running.url, 'move', { vip, node: 'n2' }, 'secret');
  await post(running.url, 'drain', { node: 'n2' }, 'secret');
  await post(running.url, 'undrain', { node: 'n2' }, 'secret');
  await post(running.url, 'move', { vip, node: 'nobody' }, 'secret');
  await post(running.url, 'undrain', { node: 'n1' }, 'one');
  const asked = lines.filter(({ event }) => ['move', 'drain', 'undrain'].includes(event));
  const told = asked.map(({ event, level, by, peer, vip, node, from, moved, code }) => {
    return JSON.parse(JSON.stringify({ event, level, by, peer, vip, node, from, moved, code }));
  });
  const who = { level: 30, by: 'operator', peer: '127.0.0.1' };
  deepEqual(told, [
    { event: 'move', ...who, vip, node: 'n2', from: 'n1' },
    { event: 'drain', ...who, node: 'n2', moved: 1 },
    { event: 'undrain', ...who, node: 'n2' },
    { event: 'move', ...who, vip, node: 'nobody', code: 'NotEligible' },
  ]);
  match(String(asked[3]?.['reason']), /^nobody: not connected$/);
});
