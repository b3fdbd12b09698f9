// How verbs send requests: which servers get the token, and what happens to an invalid answer.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { routeListener } from '../../src/process/http.ts';
import { runningController } from '../controller/fixture.ts';
import { program } from '../program.ts';
import { run, startStub } from './stub.ts';

const nodeStatus = { node: 'a', firewall: 'nftables', inSync: true, vips: [] };
const alike = { differs: false, remove: [], add: [] };

test('verbs send the token of the operator to a controller, and to no agent', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-cli-'));
  const tokenFile = join(folder.path, 'token');
  writeFileSync(tokenFile, 'secret\n');
  await using controller = await startStub({ 'GET /api/v1/status': [200, { vips: [], nodes: [] }] });
  await using agent = await startStub({
    'GET /status': [200, nodeStatus],
    'GET /diff': [200, alike],
    'GET /explain': [200, { verdict: 'accept', rule: null, reason: '', services: [], foreign: [] }],
    'GET /would-drop': [200, { filter: 'enforce', capacity: 1024, full: false, samples: [] }],
  });
  const servers = { VIPWARD_CONTROLLER: controller.url, VIPWARD_AGENT: agent.url };
  const env = { ...servers, VIPWARD_TOKEN_FILE: tokenFile };
  for (const words of [
    ['status'],
    ['status', '--agent'],
    ['status', '--would-drop', '--token-file', tokenFile],
    ['diff', '--token-file', tokenFile],
    ['explain', '10.0.0.10:80'],
  ])
    assert.equal((await run(words, env)).code, 0, words.join(' '));
  assert.deepEqual(
    controller.asked.map(({ authorization }) => authorization),
    ['Bearer secret'],
  );
  assert.deepEqual(
    agent.asked.map(({ url, authorization }) => [url.split('?')[0], authorization]),
    ['/status', '/status', '/would-drop', '/diff', '/explain'].map((path) => [path, undefined]),
  );
});

test('a verb prints the error of a server that refuses, with exit code 3', async () => {
  const error = { code: 'NotStarted', message: 'no nf_tables: modprobe nf_tables', next: 'vipward doctor' };
  await using agent = await startStub({
    'GET /diff': [503, { error }],
    'GET /explain': [503, { error }],
    'GET /status': [502, 'a proxy'],
  });
  const { host } = new URL(agent.url);
  for (const words of [['diff'], ['explain', '10.0.0.10:80']]) {
    const { code, out, err } = await run([...words, '--agent', agent.url]);
    assert.deepEqual([code, out], [3, '']);
    assert.equal(
      err,
      `vipward ${words[0]}: http://${host}: no nf_tables: modprobe nf_tables; vipward doctor\n`,
    );
  }
  const other = await run(['status', '--agent', agent.url]);
  assert.equal(other.code, 3);
  assert.match(other.err, /answered \/status with status 502; check that it runs there/);
});

test('diff exits 3, not 1, if the server answers an error', async () => {
  const error = { code: 'NotFound', message: 'nothing is served at /diff', next: 'ask for /status' };
  for (const status of [400, 404, 503]) {
    await using agent = await startStub({ 'GET /diff': [status, { error }] });
    const { code, out, err } = await run(['diff', '--agent', agent.url]);
    assert.deepEqual([code, out], [3, '']);
    assert.match(err, /nothing is served at \/diff; ask for \/status/);
  }
});

test('every verb names a server of the other role and exits 3', async (t) => {
  const handle = () => ({ status: 200, body: { vips: [] } });
  const own = ['/status', '/explain', '/diff', '/metrics'].map(
    (path) => ({ method: 'GET', path, handle }) as const,
  );
  const agent = createServer(routeListener(own, () => undefined)).listen(0, '127.0.0.1');
  t.after(() => agent.close());
  await once(agent, 'listening');
  const agentUrl = `http://127.0.0.1:${(agent.address() as AddressInfo).port}`;
  const { url: controllerUrl } = await runningController(t);
  for (const words of [['diff'], ['explain', '10.77.0.100:80'], ['status', '--would-drop'], ['status']]) {
    const { code, out, err } = await run([...words, '--agent', controllerUrl]);
    assert.deepEqual([code, out], [3, ''], err);
    assert.match(err, /this is a controller: name an agent with --agent, or use status --controller/);
  }
  for (const words of [['status'], ['move', '10.77.0.100', 'a'], ['drain', 'a'], ['undrain', 'a']]) {
    const { code, out, err } = await run([...words, '--controller', agentUrl]);
    assert.deepEqual([code, out], [3, ''], err);
    assert.match(err, /this is an agent: name a controller with --controller, or use status --agent/);
    assert.doesNotMatch(err, /the controller may still do it/);
  }
  const both = await run(['status', '--controller', `${agentUrl},${controllerUrl}`]);
  assert.equal(both.code, 0);
});

test('servers may be given with commas or in several flags, and the first answer counts', async () => {
  const nobody = 'http://127.0.0.1:1';
  await using controller = await startStub({ 'GET /api/v1/status': [200, { vips: [], nodes: [] }] });
  await using agent = await startStub({ 'GET /status': [200, nodeStatus], 'GET /diff': [200, alike] });
  for (const words of [
    ['status', '--controller', controller.url, '--controller', nobody],
    ['status', '--agent', '--agent', agent.url, '--agent', nobody],
    ['diff', '--agent', agent.url, '--agent', `${nobody},${nobody}`],
  ])
    assert.equal((await run(words)).code, 0, words.join(' '));
  assert.deepEqual([controller.asked.length, agent.asked.length], [1, 2]);
  const { err } = await run(['diff', '--agent', nobody, '--agent', 'http://127.0.0.1:2']);
  assert.match(err, /127\.0\.0\.1:1: .*127\.0\.0\.1:2: /);
});

test('verbs replace control characters in answers by question marks', async () => {
  const said = 'a\u001b[2Jb\u009b2Jc\u007fd';
  const error = { message: said, next: said };
  await using controller = await startStub({
    'POST /api/v1/undrain': [409, { error }],
    'GET /api/v1/status': [200, { vips: [], nodes: [{ name: said, connected: true, seq: 1, lagMs: 1 }] }],
  });
  const where = ['--controller', controller.url];
  const { err } = await run(['undrain', 'a', ...where]);
  const { out } = await run(['status', ...where]);
  for (const text of [err, out]) {
    assert.match(text, /a\?\[2Jb\?2Jc\?d/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  }
});

test('help agent and help controller print the flags of the process', () => {
  const of = (...words: string[]) => spawnSync(process.execPath, [program, ...words], { encoding: 'utf8' });
  for (const verb of ['agent', 'controller']) {
    const { status, stdout } = of('help', verb);
    assert.deepEqual([status, stdout], [0, of(verb, '--help').stdout]);
    assert.match(stdout, /--log-level/);
    assert.match(stdout, /^Each flag is also an environment variable/m);
  }
  assert.doesNotMatch(of('demo', '--help').stdout, /environment|--config/);
  assert.match(of('help', 'diff').stdout, /--agent/);
});

test('help of an unknown verb exits 2 and suggests a verb', async () => {
  for (const words of [['help', 'stats'], ['stats']]) {
    const { code, err } = await run(words);
    assert.equal(code, 2);
    assert.match(err, /^error: unknown command 'stats'\n\(Did you mean status\?\)/);
  }
  assert.equal((await run(['help', 'status'])).out, (await run(['status', '--help'])).out);
  assert.equal((await run(['help'])).out, (await run(['--help'])).out);
});

test('an invalid file or value is named with the flag or variable that gave it', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-cli-'));
  const file = join(folder.path, 'odd');
  writeFileSync(file, 'two words\n');
  for (const [words, env, message] of [
    [['--ca-file', file], {}, `--ca-file ${file}: expected a PEM certificate, found none`],
    [[], { VIPWARD_CA_FILE: file }, `VIPWARD_CA_FILE ${file}: expected a PEM certificate`],
    [['--token-file', file], {}, `--token-file ${file}: expected one token`],
    [[], { VIPWARD_TOKEN_FILE: file }, `VIPWARD_TOKEN_FILE ${file}: expected one token`],
    [[], { VIPWARD_CA_FILE: '/nonexistent' }, 'VIPWARD_CA_FILE /nonexistent: ENOENT'],
    [[], { VIPWARD_OUTPUT: 'yaml' }, 'VIPWARD_OUTPUT: expected table, wide or json, got "yaml"'],
    [[], { VIPWARD_TIMEOUT: '0' }, 'VIPWARD_TIMEOUT: expected more than 0'],
    [['--timeout', '0'], {}, '--timeout: expected more than 0'],
  ] as const) {
    const { code, err } = await run(['status', '--controller', 'https://127.0.0.1:1', ...words], env);
    assert.deepEqual([code, err.startsWith(`vipward status: ${message}`)], [2, true], err);
  }
});
