import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { endOverdue } from './overdue.ts';

test('a child that does not end is ended, with what it has started, and both are named', async () => {
  const parent = spawn('sh', ['-c', 'sleep 999 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(parent, 'exit');
  const [pid] = (await once(parent.stdout, 'data')) as [Buffer];
  const said: string[] = [];
  endOverdue(process.pid, 50, (text) => said.push(text));
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  // Its end of the pipe was the child's too: who reads to the end has seen both end.
  for await (const _ of parent.stdout);
  assert.equal(said.length, 1, said.join());
  assert.match(said[0] ?? '', new RegExp(`^ +${parent.pid} S sh -c sleep 999`, 'm'));
  assert.match(said[0] ?? '', new RegExp(`^ +${String(pid).trim()} S sleep 999`, 'm'));
});
