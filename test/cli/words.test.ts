// The whole words of verbs against stand-ins for the servers, and what each flag and variable may be.
import assert from 'node:assert/strict';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { chosenRole, outputOf, serverOf } from '../../src/cli/settings.ts';
import { type Ran, run, startStub } from './stub.ts';

const [ESC, shown] = ['\u001b', '?'];

/** What a verb prints if the controller answers this. */
async function changed(words: readonly string[], body: object): Promise<string> {
  await using controller = await startStub({ [`POST /api/v1/${words[0]}`]: [200, body] });
  const { code, out, err } = await run([...words, '--controller', controller.url]);
  assert.deepEqual([code, err], [0, '']);
  return out;
}

test('move and drain say what was done, or print the answer', async () => {
  const move = ['move', 'fd00::A', 'b'];
  for (const [from, text] of [
    ['b', 'fd00::a is on b already\n'],
    [null, 'fd00::a moved to b\n'],
    [undefined, 'fd00::a moved to b\n'],
    [`a${ESC}`, `fd00::a moved to b from a${shown}\n`],
  ] as const)
    assert.equal(await changed(move, { node: 'b', from }), text);
  assert.equal(await changed(['drain', 'a'], { node: 'a' }), 'a is drained: 0 VIPs moved\n');
  assert.equal(await changed(['drain', 'a'], { node: 'a', moved: 1 }), 'a is drained: 1 VIP moved\n');
  assert.equal(await changed(['undrain', 'a'], { node: 'a', moved: 3 }), 'a may have VIPs again\n');
  for (const words of [move, ['drain', 'a'], ['undrain', 'a']])
    assert.equal(await changed([...words, '-o', 'json'], { node: 'b' }), '{"node":"b"}\n');
});

test('a node has a name of at most 253 characters', async () => {
  const long = 'n'.repeat(253);
  assert.equal(await changed(['undrain', long], { node: long }), `${long} may have VIPs again\n`);
  const { code, err } = await run(['drain', `${long}n`]);
  assert.deepEqual(
    [code, err],
    [2, `vipward drain: NODE: expected the name of a node, got "${'n'.repeat(40)}"\n`],
  );
  assert.equal(
    (await run(['move', '10.0.0.1', ''])).err,
    'vipward move: NODE: expected the name of a node, got ""\n',
  );
  assert.match((await run(['move', '10.0.0', 'b'])).err, /^vipward move: VIP: /);
});

async function explained(
  target: string,
  status: number,
  body: unknown,
  ...more: readonly string[]
): Promise<Ran> {
  await using agent = await startStub({ 'GET /explain': [status, body] });
  return await run(['explain', target, '--agent', agent.url, ...more]);
}

const verdict = { verdict: 'drop', rule: `r${ESC}`, reason: `not ${ESC}declared`, services: [], foreign: [] };

test('explain prints the verdict, its rule, its Services and what may still drop the packet', async () => {
  const bare = `drop: not ${shown}declared\nrule: r${shown}\n`;
  assert.deepEqual(await explained('10.0.0.1:80', 200, verdict), { code: 1, out: bare, err: '' });
  const foreign = [
    { family: 'ip', table: 'filter', chain: `INPUT${ESC}`, hook: 'input', priority: -5, policy: 'drop' },
    { family: 'inet', table: 'fw', chain: 'in', hook: 'prerouting', priority: 0, policy: 'accept' },
  ];
  const { code, out } = await explained('10.0.0.1:80', 200, {
    ...verdict,
    verdict: 'accept',
    services: ['demo/a', `demo/b${ESC}`],
    foreign,
  });
  assert.deepEqual(
    [code, out],
    [
      0,
      [
        `accept: not ${shown}declared`,
        `rule: r${shown}`,
        `services: demo/a, demo/b${shown}`,
        `foreign: ip filter INPUT${shown} (input -5, policy drop)`,
        'foreign: inet fw in (prerouting 0, policy accept)',
        '',
      ].join('\n'),
    ],
  );
  const single = await explained('10.0.0.1:80', 200, { ...verdict, services: ['demo/a'] });
  assert.equal(single.out, `${bare}services: demo/a\n`);
  const json = await explained('10.0.0.1:80', 200, verdict, '-o', 'json');
  assert.deepEqual([json.code, JSON.parse(json.out)], [1, verdict]);
});

test('an agent that gives no verdict, or refuses, cannot tell', async () => {
  const unknown = await explained('10.0.0.1:80', 200, { ...verdict, verdict: 'unknown' });
  const cannot = `vipward explain: the agent cannot tell: not ${shown}declared\n`;
  assert.deepEqual(unknown, { code: 2, out: '', err: cannot });
  const refused = await explained('10.0.0.1:80', 409, { error: { message: 'not yet' } });
  assert.equal(refused.code, 2);
  assert.match(refused.err, /^vipward explain: 127\.0\.0\.1:\d+: not yet\n$/);
  assert.equal((await run(['explain', '10.0.0.1:80', '--agent', 'http://127.0.0.1:1'])).code, 3);
});

test('a target is an address with a port, and with a protocol or TCP', async () => {
  const asked = async (target: string): Promise<string | undefined> => {
    await using agent = await startStub({ 'GET /explain': [200, verdict] });
    await run(['explain', target, '--agent', agent.url]);
    return agent.asked[0]?.url;
  };
  const url = (port: number, protocol: string) =>
    `/explain?address=10.0.0.1&port=${port}&protocol=${protocol}`;
  assert.equal(await asked('10.0.0.1:1'), url(1, 'TCP'));
  assert.equal(await asked('10.0.0.1:65535/sctp'), url(65_535, 'SCTP'));
  for (const wrong of [
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '10.0.0.1:100000',
    '10.0.0.1:80/icmp',
    'x[fd00::1]:80',
    '[fd00::1:80',
  ])
    assert.equal(await asked(wrong), undefined, wrong);
  const { code, err } = await run(['explain', '10.0.0.1']);
  const expected = 'expected IP:PORT as 10.0.0.10:443, 10.0.0.10:53/udp or [fd00::10]:80, got "10.0.0.1"';
  assert.deepEqual([code, err], [2, `vipward explain: ${expected}\n`]);
  assert.match((await run(['explain', '10.0.0.1:80', '--from', 'x'])).err, /^vipward explain: --from: /);
  assert.equal(
    (await run(['explain', '10.0.0.1:80', '--from', 'fd00::1'])).err,
    'vipward explain: --from fd00::1: expected the same family as 10.0.0.1\n',
  );
});

test('diff prints what differs, or that nothing does, and a refusal is no difference', async () => {
  const diff = async (status: number, body: unknown, ...more: readonly string[]): Promise<Ran> => {
    await using agent = await startStub({ 'GET /diff': [status, body] });
    return await run(['diff', '--agent', agent.url, ...more]);
  };
  const same = { code: 0, out: 'the kernel has what it should have\n', err: '' };
  assert.deepEqual(await diff(200, { differs: false, remove: [], add: [] }), same);
  const other = { differs: true, remove: ['a', `b${ESC}`], add: [`c${ESC}`] };
  assert.deepEqual(await diff(200, other), { code: 1, out: `- a\n- b${shown}\n+ c${shown}\n`, err: '' });
  const json = await diff(200, other, '-o', 'json');
  assert.deepEqual([json.code, JSON.parse(json.out)], [1, other]);
  const refused = await diff(409, { error: { message: 'not yet' } });
  assert.equal(refused.code, 3);
  assert.match(refused.err, /^vipward diff: 127\.0\.0\.1:\d+: not yet\n$/);
});

test('the token is the only word of its file, or that of the operator', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-words-'));
  const file = join(folder.path, 'token');
  const sent = async (text: string): Promise<string | undefined> => {
    writeFileSync(file, text);
    await using controller = await startStub({ 'POST /api/v1/undrain': [200, { node: 'a' }] });
    const { err } = await run(['undrain', 'a', '--controller', controller.url, '--token-file', file]);
    return controller.asked[0]?.authorization ?? err;
  };
  for (const text of ['t1', '\n  t1 \n#one t2\n', 'n1 t0\n operator \t t1\nn2 t2\n', 'operator t1\n'])
    assert.equal(await sent(text), 'Bearer t1', text);
  const none = `vipward undrain: --token-file ${file}: expected one token, or a line \`operator TOKEN\`\n`;
  for (const text of ['', '# t1\n', 't1\nt2\n', 'n1 t1\n', 'operator t1 t2\n', 'operators t1\n'])
    assert.equal(await sent(text), none, text);
  const wrong = await run(['undrain', 'a', '--ca-file', file]);
  assert.equal(wrong.err, `vipward undrain: --ca-file ${file}: expected a PEM certificate, found none\n`);
  const { code, err } = await run(['undrain', 'a'], { VIPWARD_CA_FILE: '/nonexistent' });
  assert.equal(code, 2);
  assert.match(err, /^vipward undrain: VIPWARD_CA_FILE \/nonexistent: ENOENT/);
});

test('a flag counts before its variable, an empty variable as none, and errors name the one', async () => {
  await using agent = await startStub({ 'GET /diff': [200, { differs: false, remove: [], add: [] }] });
  const server = ['--agent', agent.url];
  const env = { VIPWARD_AGENT: 'nonsense', VIPWARD_OUTPUT: 'yaml', VIPWARD_TIMEOUT: 'soon' };
  assert.equal((await run(['diff', ...server, '-o', 'table', '--timeout', '20s'], env)).code, 0);
  const empty = { VIPWARD_AGENT: agent.url, VIPWARD_OUTPUT: '', VIPWARD_TIMEOUT: '' };
  assert.equal((await run(['diff'], empty)).code, 0);
  for (const [words, variables, message] of [
    [[], { VIPWARD_OUTPUT: 'yaml' }, 'VIPWARD_OUTPUT: expected table, wide or json, got "yaml"'],
    [['--timeout', '0'], {}, '--timeout: expected more than 0 and at most 24 days, got 0'],
    [
      [],
      { VIPWARD_TIMEOUT: '2147483.648s' },
      'VIPWARD_TIMEOUT: expected more than 0 and at most 24 days, got 2147483.648s',
    ],
    [['--agent', ' , '], {}, '--agent: expected a URL, got nothing'],
    [[], { VIPWARD_AGENT: ',' }, 'VIPWARD_AGENT: expected a URL, got nothing'],
    [
      [],
      { VIPWARD_AGENT: 'file:///x' },
      'VIPWARD_AGENT: expected http://HOST:PORT (or https, ws, wss), got "file:///x"',
    ],
  ] as const) {
    const { code, err } = await run(['diff', ...words], { ...variables });
    assert.deepEqual([code, err], [2, `vipward diff: ${message}\n`]);
  }
  assert.equal((await run(['diff', ...server, '--timeout', '2147483.647s'])).code, 0);
});

test('the server of a status is chosen by a flag, then by a variable, the controller first', () => {
  const [controller, agent] = [{ VIPWARD_CONTROLLER: 'x' }, { VIPWARD_AGENT: 'y' }];
  for (const [flags, env, role] of [
    [{}, {}, undefined],
    [{}, { VIPWARD_CONTROLLER: '', VIPWARD_AGENT: '' }, undefined],
    [{ agent: true }, controller, 'agent'],
    [{ agent: 'y', controller: 'x' }, {}, 'agent'],
    [{ controller: 'x' }, agent, 'controller'],
    [{}, { ...controller, ...agent }, 'controller'],
    [{}, agent, 'agent'],
  ] as const)
    assert.equal(chosenRole(flags, env), role);
  assert.deepEqual([outputOf({}, {}), outputOf({ output: 'wide' }, {})], ['table', 'wide']);
  assert.equal(outputOf({}, { VIPWARD_OUTPUT: 'wide' }), 'wide');
  assert.throws(() => outputOf({ output: 'yaml' }, {}), {
    message: /^--output: expected table, wide or json/,
  });
});

test('without flags and variables a verb asks the servers of this machine, for ten seconds', () => {
  for (const [role, url] of [
    ['controller', 'http://127.0.0.1:9470'],
    ['agent', 'http://127.0.0.1:9471'],
  ] as const) {
    const { origins, timeoutMs, token, ca } = serverOf(role, {}, { env: {}, err: { write: () => true } });
    assert.deepEqual([origins.map(({ origin }) => origin), timeoutMs], [[url], 10_000]);
    assert.deepEqual([token, ca], [undefined, undefined]);
  }
});
