// The program itself: its exit code and its output.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { program } from '../program.ts';
import { startStub } from './stub.ts';

const nobody = 'http://127.0.0.1:1';

test('the program exits with the code of the verb', () => {
  const of = (...words: string[]) => spawnSync(process.execPath, [program, ...words], { encoding: 'utf8' });
  assert.equal(of('status', '--controller', nobody).status, 3);
  assert.match(of('version').stdout, /^\d+\.\d+\.\d+\n$/);
  assert.equal(of('controller', '--nonsense').status, 2);
});

test('the program exits 1 with the reason if its output cannot be written', (t) => {
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  for (const words of [['version'], ['manifests']]) {
    const stdio = ['ignore', full, 'pipe'] as const;
    const { status, stderr } = spawnSync(process.execPath, [program, ...words], {
      encoding: 'utf8',
      stdio: [...stdio],
    });
    assert.equal(status, 1);
    assert.match(stderr, /^vipward: cannot write the output: ENOSPC.*\n$/);
  }
});

test('the exit code of a verb stays the same if its reader goes away', async () => {
  const drop = { verdict: 'drop', rule: 'guard4', reason: 'closed', services: [], foreign: [] };
  const add = Array.from({ length: 100_000 }, (_, at) => `element ${at}`);
  await using agent = await startStub({
    'GET /explain': [200, drop],
    'GET /diff': [200, { differs: true, remove: [], add }],
    'GET /status': [200, { node: 'a', firewall: 'nftables', inSync: true, vips: [] }],
  });
  for (const [words, code] of [
    [['explain', '10.0.0.1:22'], 1],
    [['diff'], 1],
    [['status'], 0],
  ] as const) {
    const argv = [program, ...words, '--agent', agent.url];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.destroy();
    assert.deepEqual([words[0], await once(child, 'exit')], [words[0], [code, null]]);
  }
});
