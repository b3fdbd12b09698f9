import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { endOverdue } from './overdue.ts';

test('endOverdue kills an overdue child with what it has started, and names both', async () => {
  const parent = spawn('sh', ['-c', 'sleep 999 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(parent, 'exit');
  const [pid] = (await once(parent.stdout, 'data')) as [Buffer];
  const said: string[] = [];
  endOverdue(process.pid, 50, (text) => said.push(text));
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  // Both processes had the pipe open, so that its end means that both have ended.
  for await (const _ of parent.stdout);
  assert.equal(said.length, 1, said.join());
  assert.match(said[0] ?? '', new RegExp(`^ +${parent.pid} S sh -c sleep 999`, 'm'));
  assert.match(said[0] ?? '', new RegExp(`^ +${String(pid).trim()} S sleep 999`, 'm'));
});
