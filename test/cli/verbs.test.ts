// The verbs against stand-ins for the servers: the requests, the output and the exit code.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseTarget } from '../../src/cli/explain.ts';
import { run, startStub } from './stub.ts';

const controllerStatus = {
  vips: [
    {
      address: '10.0.0.10',
      node: 'a',
      term: { generation: 3, n: 7 },
      state: 'serving',
      reason: 'Announced',
      services: [{ key: 'web/site', ports: [{ protocol: 'TCP', port: 80 }], state: 'serving', reason: '' }],
    },
  ],
  nodes: [{ name: 'a', connected: true, seq: 4, lagMs: 0.25 }],
};
const agentStatus = {
  node: 'a',
  firewall: 'nftables',
  inSync: true,
  vips: [
    {
      address: '10.0.0.10',
      held: true,
      term: { generation: 3, n: 7 },
      state: 'serving',
      reason: 'Announced',
      ports: [{ protocol: 'TCP', port: 80, packets: 12 }],
      dropped: 3,
    },
  ],
};
const nobody = 'http://127.0.0.1:1';

test('status prints every VIP and node, with the counters of the local agent', async () => {
  await using controller = await startStub({ 'GET /api/v1/status': [200, controllerStatus] });
  await using agent = await startStub({ 'GET /status': [200, agentStatus] });
  const env = { VIPWARD_AGENT: agent.url };
  const { code, out } = await run(['status', '--controller', controller.url], env);
  assert.equal(code, 0);
  assert.match(out, /^10\.0\.0\.10 +a +serving +Announced +80\/tcp=12 +3 +web\/site$/m);
  assert.match(out, /^a +connected +- +4 +0\.25 ms$/m);
});

test('status -o json prints the answer of the controller, which may be given by a ws URL', async () => {
  await using controller = await startStub({ 'GET /api/v1/status': [200, controllerStatus] });
  const env = { VIPWARD_CONTROLLER: controller.url.replace('http', 'ws') };
  const { code, out } = await run(['status', '-o', 'json'], env);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), controllerStatus);
});

test('status --agent prints the view of the node', async () => {
  await using agent = await startStub({ 'GET /status': [200, agentStatus] });
  const { code, out } = await run(['status', '--agent', agent.url]);
  assert.equal(code, 0);
  assert.match(out, /^node a, firewall nftables, in sync$/m);
  assert.match(out, /80\/tcp=12 +3$/m);
  const json = await run(['status', '--agent', '-o', 'json'], { VIPWARD_AGENT: agent.url });
  assert.deepEqual(JSON.parse(json.out), agentStatus);
});

test('status asks the second controller if the first is gone', async () => {
  await using controller = await startStub({ 'GET /api/v1/status': [200, controllerStatus] });
  const { code } = await run(['status', '-o', 'json', '--controller', `${nobody},${controller.url}`]);
  assert.equal(code, 0);
});

test('explain exits 0 for accept, 1 for drop, and 2 if the agent cannot tell', async () => {
  const foreign = [
    { family: 'ip', table: 'filter', chain: 'INPUT', hook: 'input', priority: 0, policy: 'drop' },
  ];
  const answer = { verdict: 'accept', rule: 'allow4', reason: 'declared', services: ['web/site'], foreign };
  const of = async (status: number, body: unknown) => {
    await using agent = await startStub({ 'GET /explain': [status, body] });
    const words = ['explain', '[fd00::A]:53/udp', '--from', 'fd00::1', '--agent', agent.url];
    const ran = await run(words);
    assert.equal(agent.asked[0]?.url, '/explain?address=fd00%3A%3Aa&port=53&protocol=UDP&from=fd00%3A%3A1');
    return ran;
  };
  const accepted = await of(200, answer);
  assert.equal(accepted.code, 0);
  assert.match(accepted.out, /accept: declared\nrule: allow4\nservices: web\/site\nforeign: ip filter INPUT/);
  assert.equal((await of(200, { ...answer, verdict: 'drop' })).code, 1);
  assert.equal((await of(409, { error: { message: 'not in sync', next: 'wait' } })).code, 2);
});

test('diff exits 0 without differences, and 1 with differences, which it prints', async () => {
  await using same = await startStub({ 'GET /diff': [200, { differs: false, remove: [], add: [] }] });
  assert.equal((await run(['diff', '--agent', same.url])).code, 0);
  await using other = await startStub({ 'GET /diff': [200, { differs: true, remove: ['x'], add: ['y'] }] });
  const { code, out } = await run(['diff', '--agent', other.url]);
  assert.equal(code, 1);
  assert.equal(out, '- x\n+ y\n');
});

test('move, drain and undrain send their arguments with the token of the operator', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-cli-'));
  const tokenFile = join(folder, 'tokens');
  writeFileSync(tokenFile, '# tokens\nnode-a aaa\noperator secret\n');
  await using controller = await startStub({
    'POST /api/v1/move': [200, { vip: '10.0.0.10', node: 'b', from: 'a', term: 8 }],
    'POST /api/v1/drain': [200, { node: 'a', moved: 2 }],
    'POST /api/v1/undrain': [200, { node: 'a' }],
  });
  const flags = ['--controller', controller.url, '--token-file', tokenFile];
  assert.equal((await run(['move', '10.0.0.10', 'b', ...flags])).out, '10.0.0.10 moved to b from a\n');
  assert.equal((await run(['drain', 'a', ...flags])).out, 'a is drained: 2 VIPs moved\n');
  assert.equal((await run(['undrain', 'a', ...flags])).code, 0);
  assert.deepEqual(controller.asked[0], {
    method: 'POST',
    url: '/api/v1/move',
    authorization: 'Bearer secret',
    body: { vip: '10.0.0.10', node: 'b' },
  });
  rmSync(folder, { recursive: true });
});

test('a refused move exits 1 with the reason and the remedy', async () => {
  const error = { code: 'NotEligible', message: 'b: drained', next: 'vipward undrain b' };
  await using controller = await startStub({ 'POST /api/v1/move': [409, { error }] });
  const { code, err } = await run(['move', '10.0.0.10', 'b', '--controller', controller.url]);
  assert.equal(code, 1);
  assert.match(err, /b: drained; vipward undrain b/);
});

test('verbs exit 3 if a server is missing, silent or not ours', async () => {
  const gone = await run(['status', '--controller', nobody]);
  assert.equal(gone.code, 3);
  assert.match(gone.err, /no answer from the controller at http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  assert.match(gone.err, /check that it runs there, or name another by --controller or VIPWARD_CONTROLLER/);
  await using silent = await startStub({});
  const waited = await run(['diff', '--agent', silent.url, '--timeout', '50ms']);
  assert.equal(waited.code, 3);
  assert.match(waited.err, /no answer within 50 ms;/);
  const asked = await run(['move', '10.0.0.1', 'n1', '--controller', silent.url, '--timeout', '2s']);
  assert.deepEqual([waited.code, asked.code], [3, 3]);
  assert.match(asked.err, /no answer within 2000 ms; the controller may still do it: see vipward status/);
  await using other = await startStub({ 'GET /api/v1/status': [200, '<html>'] });
  assert.equal((await run(['status', '--controller', other.url])).code, 3);
  await using stranger = await startStub({ 'GET /api/v1/status': [200, { ok: true }] });
  assert.equal((await run(['status', '--controller', stranger.url])).code, 3);
});

for (const words of [
  ['nonsense'],
  ['status', '--nonsense'],
  ['status', 'extra'],
  ['status', '-o', 'yaml'],
  ['status', '--timeout', 'soon'],
  ['status', '--controller', 'ftp://x'],
  ['status', '--controller', 'http://127.0.0.1:1', '--agent'],
  ['status', '--controller', 'http://127.0.0.1:1', '--would-drop'],
  ['status', '--token-file', '/nonexistent'],
  ['explain'],
  ['explain', '10.0.0.10'],
  ['explain', 'fd00::1:80'],
  ['explain', '10.0.0.10:80', '--from', 'fd00::1'],
  ['move', '10.0.0.10'],
  ['move', '10.0.0.999', 'b'],
  ['completion', 'tcsh'],
  ['doctor', '-o', 'yaml'],
  ['manifests', 'everything'],
  [],
]) {
  test(`wrong usage exits 2 with a message: ${JSON.stringify(words)}`, async () => {
    const { code, out, err } = await run(words);
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.notEqual(err, '');
  });
}

test('every verb has help with examples, and is in each completion script', async () => {
  const scripts = await Promise.all(['bash', 'zsh', 'fish'].map((shell) => run(['completion', shell])));
  for (const verb of [
    'status',
    'explain',
    'diff',
    'move',
    'drain',
    'undrain',
    'cleanup',
    'doctor',
    'version',
  ]) {
    const { code, out } = await run([verb, '--help']);
    assert.equal(code, 0);
    assert.match(out, new RegExp(`Examples:\n  vipward ${verb}`));
    for (const script of scripts) assert.match(script.out, new RegExp(`\\b${verb}\\b`));
  }
  const bash = spawnSync('bash', ['-n'], { input: scripts[0]?.out, encoding: 'utf8' });
  if (bash.error === undefined) assert.equal(bash.stderr, '');
});

test('every variable that a verb reads is in its help and in docs/operating.md', async () => {
  const page = readFileSync(fileURLToPath(new URL('../../docs/operating.md', import.meta.url)), 'utf8');
  const asking = ['TOKEN_FILE', 'CA_FILE', 'TIMEOUT', 'OUTPUT'];
  for (const [verb, names] of [
    ['move', ['CONTROLLER', ...asking]],
    ['explain', ['AGENT', ...asking]],
    ['doctor', ['OUTPUT']],
    ['cleanup', ['STATE', 'INTERFACE']],
  ] as const) {
    const { out } = await run([verb, '--help']);
    for (const name of names)
      for (const text of [out, page]) assert.match(text, new RegExp(`\\bVIPWARD_${name}\\b`));
  }
});

test('a target is an address, a port and a protocol', () => {
  assert.deepEqual(parseTarget('10.0.0.1:80'), { address: '10.0.0.1', port: 80, protocol: 'TCP' });
  assert.deepEqual(parseTarget('[FD00:0::1]:53/UDP'), { address: 'fd00::1', port: 53, protocol: 'UDP' });
});
