// `vipward status --watch`: with and without a terminal, while its server fails, and when its reader has
// gone.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { patient } from '../patience.ts';
import { program } from '../program.ts';
import { type Answers, run, startStub } from './stub.ts';

const limit = { timeout: patient(30_000) };
const status = [200, { node: 'a', firewall: 'nftables', inSync: true, vips: [] }] as const;
const clear = '\u001b[H\u001b[2J';
const words = (url: string) => ['status', '--watch', '--agent', url, '--timeout', '5s'];

/** A stub with these answers in order; the last one ends the verb. */
async function answering(...answers: readonly (readonly [number, unknown])[]) {
  const gone = new AbortController();
  const left = [...answers];
  const next = (): readonly [number, unknown] => {
    const answer = left.shift() ?? status;
    if (left.length === 0) gone.abort();
    return answer;
  };
  const table: Answers = {
    get 'GET /status'() {
      return next();
    },
    get 'GET /would-drop'() {
      return next();
    },
  };
  return { stub: await startStub(table), gone: gone.signal };
}

test('status --watch clears a terminal each time, and no other output', limit, async () => {
  for (const isTTY of [true, false]) {
    const { stub, gone } = await answering(status, status);
    await using agent = stub;
    const { code, out } = await run(words(agent.url), {}, { gone, isTTY });
    assert.equal(code, 0);
    assert.equal(out.match(/^.*node a, /gm)?.length, 2);
    assert.equal(out.split(clear).length - 1, isTTY ? 2 : 0);
  }
});

test('status --watch --would-drop prints the samples each time', limit, async () => {
  const samples = [200, { filter: 'observe', capacity: 1024, full: false, samples: [] }] as const;
  const { stub, gone } = await answering(samples, samples, samples);
  await using agent = stub;
  const { code, out } = await run([...words(agent.url), '--would-drop'], {}, { gone });
  assert.equal(code, 0);
  assert.equal(out.match(/^VIP +SOURCE/gm)?.length, 3);
});

test('status --watch reports a server that fails for a while, and asks it again', limit, async () => {
  const error = { code: 'Busy', message: 'too many', next: 'ask again' };
  const { stub, gone } = await answering([503, { error }], [403, { error }], status);
  await using agent = stub;
  const { code, out, err } = await run(words(agent.url), {}, { gone });
  assert.equal(code, 0);
  assert.equal(err.match(/^vipward status: .*too many; ask again$/gm)?.length, 2);
  assert.match(out, /^node a, /);
});

test('wrong usage ends status --watch', limit, async () => {
  assert.equal((await run(['status', '--watch', '--agent', 'ftp://x'])).code, 2);
});

test('status --watch ends when its reader has gone', limit, async () => {
  await using agent = await startStub({ 'GET /status': status });
  const child = spawn(process.execPath, [program, ...words(agent.url)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: patient(20_000),
    killSignal: 'SIGKILL',
  });
  try {
    await once(child.stdout, 'data');
    child.stdout.destroy();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  } finally {
    child.kill('SIGKILL');
  }
});
