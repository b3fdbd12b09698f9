// An agent that cannot start names the reason, changes nothing and ends.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { hasTool } from '../kernel/own-kernel.ts';
import { type Namespace, runIn } from '../namespaces.ts';
import { Alone, limit } from './alone.ts';

/** The error output of an agent that does not start. */
async function refused(alone: Alone, more: readonly string[], code = 1): Promise<string> {
  const agent = alone.start(...more);
  assert.equal(await agent.ended(), code);
  return agent.stderr;
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
  test(`an agent whose ${flag} port is in use names it with the remedy, and makes no table`, {
    ...limit,
    skip: limit.skip || hasTool('nft', '-v'),
  }, async (t) => {
    await using alone = new Alone();
    await occupy(t, alone.where, port);
    const words = await refused(alone, [flag, `127.0.0.1:${port}`]);
    const reason = `${flag} 127\\.0\\.0\\.1:${port}: listen EADDRINUSE.*; end what listens there`;
    assert.match(words, new RegExp(`^vipward agent: ${reason}.*\n$`));
    assert.equal(runIn(alone.where, ['nft', 'list', 'tables']).stdout, '');
  });
}

test(
  'an agent refuses to listen on an address of another host or on a name that does not resolve',
  limit,
  async () => {
    await using alone = new Alone();
    const far = await refused(alone, ['--listen', '192.0.2.1:9471']);
    assert.match(far, /--listen 192\.0\.2\.1:9471: .*EADDRNOTAVAIL.*; give an address of this host\n$/);
    const odd = await refused(alone, ['--listen', 'no.such.invalid:9471']);
    assert.match(odd, /--listen no\.such\.invalid:9471: .*; give HOST:PORT of this host\n$/);
  },
);

test('a --state folder that cannot be made is wrong usage, named with the remedy', limit, async () => {
  await using alone = new Alone();
  const path = join(alone.folder, 'file');
  writeFileSync(path, '');
  for (const [folder, error] of [
    [join(path, 'state'), 'ENOTDIR'],
    [path, 'EEXIST'],
    ['/proc/vipward/state', 'ENOENT'],
  ] as const) {
    const words = await refused(alone, ['--state', folder], 2);
    const reason = `--state ${folder}: ${error}.*; give --state a folder`;
    assert.match(words, new RegExp(`^vipward agent: ${reason} .*\n$`));
  }
});
