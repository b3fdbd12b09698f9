// What opening a stream and changing placements needs: credentials, no web page, and the subprotocol.

import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { principalOf, readTokens } from '../../../src/controller/stream/credentials.ts';
import { logLines } from '../../log-lines.ts';
import { until } from '../../patience.ts';
import { folder, runningController, service, type TestController } from '../fixture.ts';
import { agentOf } from '../test-agent.ts';

const limit = { timeout: 20_000 };

function started(t: TestContext, argv: readonly string[] = []): Promise<TestController> {
  return runningController(t, { files: { 'a.yaml': service('web') }, argv });
}

/** The status code of a refused upgrade. */
async function refusal(
  url: string,
  protocols: string[],
  headers: Record<string, string> = {},
): Promise<number> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/agent`, protocols, { headers });
  socket.on('error', () => undefined);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
  socket.terminate();
  return response.statusCode;
}

test('a token of one node is refused in the hello of another', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, '# who\nn1 secret-1\nn2 secret-2\noperator secret-0\n');
  const running = await started(t, ['--token-file', tokens]);
  const liar = agentOf(t, running, 'n2', { token: 'secret-1' });
  const { code, reason } = await liar.untilClosed();
  equal(code, 1008);
  match(reason, /^node: the credential is that of n1/);
  const honest = agentOf(t, running, 'n2', { token: 'secret-2' });
  await honest.synced();
});

test('an upgrade without a valid token of a node is refused with 401', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'n1 secret-1\noperator secret-0\n');
  const running = await started(t, ['--token-file', tokens]);
  equal(await refusal(running.url, ['vipward.v1']), 401);
  equal(await refusal(running.url, ['vipward.v1'], { authorization: 'Bearer wrong' }), 401);
  equal(await refusal(running.url, ['vipward.v1'], { authorization: 'Bearer secret-0' }), 401);
  equal(await refusal(running.url, ['chat'], { authorization: 'Bearer secret-1' }), 400);
});

test('removing a token closes the stream that it opened, and no other', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'n1 secret-1\nn1 secret-3\nn2 secret-2\n');
  const running = await started(t, ['--token-file', tokens]);
  const [gone, stays] = [['n1', 'secret-1'] as const, ['n2', 'secret-2'] as const].map(([name, token]) =>
    agentOf(t, running, name, { token }),
  );
  await Promise.all([gone?.synced(), stays?.synced()]);
  writeFileSync(tokens, 'n1 secret-3\nn2 secret-2\n');
  match((await gone?.untilClosed())?.reason ?? '', /credential is no longer valid/);
  equal(stays?.closed, null);
  await agentOf(t, running, 'n1', { token: 'secret-3' }).synced();
});

test(
  'an emptied token file revokes nothing and is named; one line with a new token does',
  limit,
  async (t) => {
    const tokens = join(folder(t), 'tokens');
    writeFileSync(tokens, 'n1 secret-1\n');
    const { log, lines } = logLines();
    const running = await runningController(t, { argv: ['--token-file', tokens], log });
    const agent = agentOf(t, running, 'n1', { token: 'secret-1' });
    await agent.synced();
    const refused = () => lines.filter(({ event }) => event === 'tokensRefused').map(({ reason }) => reason);
    for (const [index, text] of ['', '# n1 secret-1\n'].entries()) {
      writeFileSync(tokens, text);
      await until('a refused file', () => refused().length > index);
    }
    const remedy = 'the former tokens stay valid; to revoke them all, write one line with a new token';
    deepEqual(new Set(refused()), new Set([`--token-file ${tokens}: no token in it: ${remedy}`]));
    equal(agent.closed, null);
    writeFileSync(tokens, 'operator secret-2\n');
    match((await agent.untilClosed()).reason, /credential is no longer valid/);
  },
);

test(
  'a controller that starts with an empty token file admits nobody until it has a token',
  limit,
  async (t) => {
    const tokens = join(folder(t), 'tokens');
    writeFileSync(tokens, '');
    const running = await started(t, ['--token-file', tokens]);
    for (const headers of [{}, { authorization: 'Bearer secret-1' }])
      equal(await refusal(running.url, ['vipward.v1'], headers), 401);
    writeFileSync(tokens, 'n1 secret-1\n');
    const code = () => refusal(running.url, ['x'], { authorization: 'Bearer secret-1' });
    await until('the token is valid', async () => (await code()) === 400);
  },
);

test('a request with the Origin of a web page opens no stream and changes nothing', limit, async (t) => {
  const running = await started(t);
  const headers = { origin: 'http://evil.example' };
  equal(await refusal(running.url, ['vipward.v1'], headers), 403);
  const request = { method: 'POST', headers, body: '{"node":"n1"}' };
  equal((await fetch(`${running.url}/api/v1/drain`, request)).status, 403);
});

test('an upgrade without the subprotocol is refused with 400', limit, async (t) => {
  const running = await started(t);
  equal(await refusal(running.url, ['vipward.v2']), 400);
  equal(await refusal(running.url, []), 400);
});

test('a line of a token file without a token of its own is wrong usage, named by its number', (t) => {
  const path = join(folder(t), 'tokens');
  for (const [text, why] of [
    ['n1 secret\n# n2\noperator secret\n', 'line 3: the token is that of another line; give each its own'],
    ['n1 secret\n\nn2\n', 'line 3: expected NAME TOKEN'],
    ['n1 secret more\n', 'line 1: expected NAME TOKEN'],
  ] as const) {
    writeFileSync(path, text);
    throws(() => readTokens(path), { code: 'Usage', message: `--token-file ${path}: ${why}` });
  }
  writeFileSync(path, '# who\n#n9 secret-9\n n1  secret-1 \r\noperator secret-0\noperator secret-2\n');
  const operator = { kind: 'operator' };
  deepEqual([...readTokens(path).values()], [{ kind: 'node', name: 'n1' }, operator, operator]);
  throws(() => readTokens(`${path}s`), { code: 'Usage', message: /^--token-file \S+tokenss: ENOENT/ });
});

test('a token, one of a ServiceAccount or a certificate names the principal, and a wrong token none', (t) => {
  const path = join(folder(t), 'tokens');
  writeFileSync(path, 'n1 secret-1\noperator secret-0\n');
  const tokens = readTokens(path);
  const request = (token: string | null, names?: string, authorized = true) =>
    ({
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      socket: {
        authorized,
        getPeerCertificate: () => (names === undefined ? null : { subjectaltname: names }),
      },
    }) as unknown as IncomingMessage;
  const by = (
    one: IncomingMessage,
    takesCertificates = true,
    nodeOfToken: ((token: string) => string | null) | null = null,
  ) => principalOf(one, { tokens: () => tokens, takesCertificates, nodeOfToken });
  const none = { tokens: () => null, takesCertificates: false, nodeOfToken: null };
  const [operator, n1] = [{ kind: 'operator' }, { kind: 'node', name: 'n1' }];
  deepEqual(principalOf(request('any'), none), { kind: 'anyone' });
  for (const more of [{ tokens: () => tokens }, { takesCertificates: true }, { nodeOfToken: () => null }])
    equal(principalOf(request('any'), { ...none, ...more }), null);
  deepEqual([by(request('secret-1')), by(request('secret-0'))], [n1, operator]);
  const ofCluster = (token: string) => (token === 'jwt' ? 'n1' : null);
  deepEqual([by(request('jwt'), true, ofCluster), by(request('x'), true, ofCluster)], [n1, null]);
  const named = 'DNS:a, URI:vipward://node/n1, URI:vipward://operator';
  deepEqual(by(request(null, named)), n1);
  deepEqual(by(request(null, 'URI:vipward://operator')), operator);
  equal(by(request('wrong', named)), null);
  equal(by(request(null, named, false)), null);
  equal(by(request(null, named), false), null);
  for (const names of [
    undefined,
    '',
    'URI:vipward://node/',
    'URI:vipward://node/-n',
    'URI:vipward://node/N',
    'URI:vipward://operators',
  ])
    equal(by(request(null, names)), null, names);
  for (const names of ['xURI:vipward://operator', 'URI:vipward://node/n1/x'])
    equal(by(request(null, names)), null, names);
});
