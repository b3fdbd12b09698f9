// What keeps an agent from starting: it says so, touches nothing and ends.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotUnshare, Namespace, runIn, spawnIn } from '../namespaces.ts';

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const limit = { skip: cannotUnshare(), timeout: 60_000 };

/** Starts an agent in a namespace, and resolves to its exit code and its last words. */
async function start(where: Namespace, ...more: readonly string[]): Promise<{ code: number; words: string }> {
  const words = ['--node', 'node1', '--controller', 'ws://127.0.0.1:9470', '--allow', '10.77.0.0/24'];
  const state = ['--state', join(tmpdir(), `vipward-start-${process.pid}`)];
  const child = spawnIn(where, [process.execPath, program, 'agent', ...words, ...state, ...more], {
    ...{ timeout: 20_000, killSignal: 'SIGKILL' },
  });
  const [said, [code]] = await Promise.all([
    text(child.stderr as NodeJS.ReadableStream),
    once(child, 'exit') as Promise<[number]>,
  ]);
  return { code, words: said };
}

/** Listens on a port of the namespace until the test ends. */
async function occupy(t: TestContext, where: Namespace, port: number): Promise<void> {
  const server = createServer();
  t.after(() => server.close());
  await where.stay(() => once(server.listen(port, '127.0.0.1'), 'listening'));
}

for (const [flag, port] of [
  ['--listen', 9471],
  ['--metrics-listen', 9472],
] as const) {
  test(
    `a port of ${flag} that is in use is named with the remedy, and the kernel is left alone`,
    limit,
    async (t) => {
      using where = Namespace.make();
      await occupy(t, where, port);
      const { code, words } = await start(where, flag, `127.0.0.1:${port}`);
      assert.equal(code, 1);
      const reason = `vipward agent: ${flag} 127\\.0\\.0\\.1:${port}: listen EADDRINUSE.*; end what listens`;
      assert.match(words, new RegExp(`^${reason}.*\n$`));
      assert.doesNotMatch(runIn(where, ['nft', 'list', 'tables']).stdout ?? '', /vipward/);
    },
  );
}

test(
  'an address that is not of this host, and a name that is none, are refused likewise',
  limit,
  async () => {
    using where = Namespace.make();
    const far = await start(where, '--listen', '192.0.2.1:9471');
    assert.equal(far.code, 1);
    assert.match(far.words, /--listen 192\.0\.2\.1:9471: .*EADDRNOTAVAIL.*; give an address of this host\n$/);
    const odd = await start(where, '--listen', 'no.such.invalid:9471');
    assert.equal(odd.code, 1);
    assert.match(odd.words, /--listen no\.such\.invalid:9471: .*; give HOST:PORT of this host\n$/);
  },
);
