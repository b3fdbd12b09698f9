// A standby controller names the leader, and the verbs ask the leader instead.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { certificate, noCertificates } from '../certificates.ts';
import { folder } from '../controller/fixture.ts';
import { type Answers, run, startStub } from './stub.ts';

const limit = { timeout: 20_000 };
const moved = { vip: '10.0.0.10', node: 'b', from: 'a', term: { generation: 1, n: 2 } };
const active = { role: 'active', vips: [], nodes: [{ name: 'a', connected: true, seq: 4, lagMs: 0.25 }] };
const move = ['move', '10.0.0.10', 'b', '--controller'];

/** The answers of a standby; the address is HOST:PORT, as --advertise has it. */
function standby(address: string | null, identity = 'c2'): Answers {
  const leader = { identity, address };
  const error = {
    code: 'Standby',
    message: `this controller is a standby; the leader is ${identity}`,
    next: 'ask it',
  };
  return {
    'POST /api/v1/move': [421, { error, leader }],
    'GET /api/v1/status': [200, { role: 'standby', leader, vips: [], nodes: [] }],
  };
}

test('move is sent to the leader that the standby names, and the verb says so', limit, async () => {
  await using ruling = await startStub({ 'POST /api/v1/move': [200, moved] });
  const { host } = new URL(ruling.url);
  await using aside = await startStub(standby(host));
  const { code, out, err } = await run([...move, aside.url]);
  assert.deepEqual([code, out], [0, '10.0.0.10 moved to b from a\n']);
  const { host: asked } = new URL(aside.url);
  assert.equal(err, `vipward: ${asked} is a standby: asking the leader, c2 at ${host}\n`);
  assert.deepEqual(ruling.asked[0]?.body, { vip: '10.0.0.10', node: 'b' });
});

test('move prints the refusal of the leader', limit, async () => {
  const error = { code: 'NotEligible', message: 'b: drained', next: 'vipward undrain b' };
  await using ruling = await startStub({ 'POST /api/v1/move': [409, { error }] });
  await using aside = await startStub(standby(new URL(ruling.url).host));
  const { code, err } = await run([...move, aside.url]);
  assert.equal(code, 1);
  assert.match(err, /b: drained; vipward undrain b/);
});

test('status prints the status of the leader, as a table and with -o json', limit, async () => {
  await using ruling = await startStub({ 'GET /api/v1/status': [200, active] });
  await using aside = await startStub(standby(new URL(ruling.url).host));
  const { out, err } = await run(['status', '-o', 'json', '--controller', aside.url]);
  assert.deepEqual(JSON.parse(out), active);
  assert.match(err, /is a standby: asking the leader, c2/);
  assert.match((await run(['status', '--controller', aside.url])).out, /^a +connected +- +4 +0\.25 ms$/m);
});

test('an unreachable leader is named, and status is that of the standby', limit, async () => {
  await using aside = await startStub(standby('127.0.0.1:1'));
  const refused = await run([...move, aside.url]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /no leader answered: http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  assert.match(refused.err, /this controller is a standby; the leader is c2; ask it/);
  const { code, out } = await run(['status', '-o', 'json', '--controller', aside.url]);
  assert.deepEqual([code, JSON.parse(out).role], [0, 'standby']);
});

test('move asks the next given controller if the standby names no usable leader', limit, async () => {
  await using ruling = await startStub({ 'POST /api/v1/move': [200, moved] });
  for (const address of [null, '127.0.0.1:1', 'user@127.0.0.1:80/path', ' ']) {
    await using aside = await startStub(standby(address));
    assert.equal((await run([...move, `${aside.url},${ruling.url}`])).code, 0);
  }
});

test('move follows at most three leaders, and asks no controller twice', limit, async (t) => {
  const answers: Record<string, readonly [number, unknown]> = {};
  await using first = await startStub(answers);
  await using second = await startStub(standby(new URL(first.url).host, 'c1'));
  Object.assign(answers, standby(new URL(second.url).host));
  assert.equal((await run([...move, first.url])).code, 1);
  assert.deepEqual([first.asked.length, second.asked.length], [1, 1]);
  const chain = [await startStub({})];
  for (let length = 0; length < 9; length++)
    chain.unshift(await startStub(standby(new URL(chain[0]?.url ?? '').host)));
  t.after(() => Promise.all(chain.map((one) => one[Symbol.asyncDispose]())));
  assert.equal((await run([...move, chain[0]?.url ?? ''])).code, 1);
  assert.deepEqual(
    chain.map(({ asked }) => asked.length),
    [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
  );
});

test('by TLS the leader may have the certificate of the given name, and no other one is asked', {
  ...limit,
  skip: noCertificates,
}, async (t) => {
  const [tokenFile, made] = [join(folder(t), 'token'), certificate(folder(t), ['DNS:localhost'])];
  writeFileSync(tokenFile, 'secret\n');
  const tls = { cert: readFileSync(made.certFile), key: readFileSync(made.keyFile) };
  const flags = ['--ca-file', made.certFile, '--token-file', tokenFile];
  await using ruling = await startStub({ 'POST /api/v1/move': [200, moved] }, tls);
  await using aside = await startStub(standby(new URL(ruling.url).host), tls);
  const ran = await run([...move, aside.url.replace('127.0.0.1', 'localhost'), ...flags]);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(ruling.asked[0]?.authorization, 'Bearer secret');
  await using plain = await startStub({ 'POST /api/v1/move': [200, moved] });
  await using astray = await startStub(standby(new URL(plain.url).host), tls);
  const other = certificate(folder(t), ['DNS:elsewhere']);
  const strange = { cert: readFileSync(other.certFile), key: readFileSync(other.keyFile) };
  await using stranger = await startStub({ 'POST /api/v1/move': [200, moved] }, strange);
  await using misled = await startStub(standby(new URL(stranger.url).host), tls);
  for (const { url } of [astray, misled])
    assert.equal((await run([...move, url.replace('127.0.0.1', 'localhost'), ...flags])).code, 1);
  assert.deepEqual([plain.asked, stranger.asked], [[], []]);
});

test('a move that was sent and not answered is sent to no other controller', limit, async (t) => {
  await using silent = await startStub({});
  const { port } = new URL(silent.url);
  await using aside = await startStub(standby(`127.0.0.1:${port}`));
  const urls = `${aside.url},http://localhost:${port}`;
  const waited = await run([...move, urls, '--timeout', '2s']);
  assert.deepEqual([waited.code, silent.asked.length], [3, 1]);
  assert.match(waited.err, /no answer within 2000 ms; the controller may still do it: see vipward status/);
  let posts = 0;
  const resetting = createServer(({ socket }) => {
    posts++;
    socket.resetAndDestroy();
  });
  await new Promise<void>((resolve) => resetting.listen(0, '127.0.0.1', resolve));
  t.after(() => resetting.close());
  const { port: other } = resetting.address() as AddressInfo;
  const reset = await run([...move, `http://127.0.0.1:${other},http://localhost:${other}`]);
  assert.deepEqual([reset.code, posts], [3, 1]);
  assert.match(reset.err, /the controller may still do it/);
  await using ruling = await startStub({ 'POST /api/v1/move': [200, moved] });
  assert.equal((await run([...move, `http://127.0.0.1:1,${ruling.url}`])).code, 0);
});

/** A certificate for some names, as a TLS server takes it. */
function pairOf(folder: string, names: readonly string[]) {
  const { certFile, keyFile, pem } = certificate(folder, names);
  return { certFile, pem, tls: { cert: readFileSync(certFile), key: readFileSync(keyFile) } };
}

test('the leader may have the certificate of a server that was given by IPv6 address', {
  ...limit,
  skip: noCertificates,
}, async (t) => {
  const { certFile, tls } = pairOf(folder(t), ['IP:::1']);
  await using ruling = await startStub({ 'POST /api/v1/move': [200, moved] }, tls);
  await using aside = await startStub(standby(new URL(ruling.url).host), tls, '::1');
  const ran = await run([...move, aside.url, '--ca-file', certFile]);
  assert.equal(ran.code, 0, ran.err);
});

test('with public certificates, move is sent only to a leader with the name of the given server', {
  ...limit,
  skip: noCertificates,
}, async (t) => {
  const [meant, other] = [pairOf(folder(t), ['DNS:localhost']), pairOf(folder(t), ['IP:127.0.0.1'])];
  const trusted = getCACertificates('default');
  t.after(() => setDefaultCACertificates(trusted));
  setDefaultCACertificates([...trusted, meant.pem, other.pem]);
  for (const [{ tls }, code] of [
    [meant, 0],
    [other, 1],
  ] as const) {
    await using ruling = await startStub({ 'POST /api/v1/move': [200, moved] }, tls);
    await using aside = await startStub(standby(new URL(ruling.url).host), meant.tls);
    const ran = await run([...move, aside.url.replace('127.0.0.1', 'localhost')]);
    assert.deepEqual([ran.code, ruling.asked.length], [code, 1 - code], ran.err);
  }
});
