// The reason that an agent gives for a controller that it cannot reach: the controller's words, and what to
// do.
import { equal, match } from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readCredentials } from '../../../src/agent/stream/credentials.ts';
import { type Refusal, refuse } from '../../../src/controller/stream/refuse.ts';
import { certificate, noCertificates } from '../../certificates.ts';
import { folder, runningController, service, type TestController } from '../../controller/fixture.ts';
import { untilTrue } from '../../patience.ts';
import { type AgentSide, agentOf } from '../../protocol/agent-side.ts';

const limit = { timeout: 60_000 };
const tlsLimit = { ...limit, skip: noCertificates };

/** The reason of a stream that was not opened. */
async function reasonAt(t: TestContext, url: string, side: AgentSide = {}): Promise<string> {
  const { streams } = agentOf(t, [url], side);
  const reason = () => streams.all[0]?.reason ?? '';
  await untilTrue(() => !['not connected yet', ''].includes(reason()));
  return reason();
}

/** A server that answers every upgrade with this. */
async function answering(t: TestContext, answer: Refusal | string): Promise<string> {
  const server = createServer().on('upgrade', (_request, socket) => {
    if (typeof answer === 'string') socket.end(answer);
    else refuse(socket, answer);
  });
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

for (const [status, reason, advice] of [
  [403, 'a web page may not open a stream', /^connect to the controller directly/],
  [404, 'the path of the stream is /agent', /^give --controller the ws\[s\]:/],
  [503, 'the controller has not read all Services yet', /^the agent tries again by itself/],
  [418, 'short and stout', /^check that --controller names a vipward controller/],
] as const) {
  test(`the reason of an answer of ${status} has the controller's words and the advice`, limit, async (t) => {
    const said = await reasonAt(t, await answering(t, { status, reason }));
    const [words, next] = said.split('; ');
    equal(words, `the controller answered ${status}: ${reason}`);
    match(next ?? '', advice);
  });
}

test('the reason of an answer of 401 says whether a token is missing or wrong', limit, async (t) => {
  const tokens = join(folder(t), 'tokens');
  writeFileSync(tokens, 'n1 secret\n');
  const { url } = await runningController(t, { argv: ['--token-file', tokens] });
  const at = url.replace('http', 'ws');
  const said = 'the controller answered 401: there is no token: a client certificate or ';
  const missing = await reasonAt(t, at);
  equal(missing.slice(0, said.length), said);
  match(missing, / of a node is needed; put the token of this /);
  const wrong = { token: 'wrong', ca: undefined, cert: undefined, key: undefined };
  const next = await reasonAt(t, at, { credentials: async () => wrong });
  match(next, /^the controller answered 401: the token is not that of a node; put the token of this /);
});

test(
  'the reason leaves out an HTML page, and an answer that does not end is not waited for',
  limit,
  async (t) => {
    const head = 'HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n';
    const page = await reasonAt(t, await answering(t, `${head}\r\n<html>`));
    match(page, /^the controller answered 502; check that/);
    const text = 'HTTP/1.1 503 No\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n';
    const server = createServer().on('upgrade', (_request, socket) =>
      socket.write(`${text}\u001b[31mred\nand`),
    );
    t.after(() => server.closeAllConnections());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const never = await reasonAt(t, `ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.close();
    match(never, /^the controller answered 503: \[31mred; the agent tries again/);
  },
);

test('the reason names a host that does not resolve and a port without a listener', limit, async (t) => {
  match(await reasonAt(t, 'ws://no.such.invalid:9470'), /no\.such\.invalid; check the name in --controller/);
  match(await reasonAt(t, 'ws://127.0.0.1:1'), /ECONNREFUSED.*; check --controller, and that a controller/);
});

const files = { tokenFile: undefined, cert: undefined, key: undefined };
const trusting = (caFile: string): AgentSide => ({
  credentials: () => readCredentials({ ...files, caFile }),
});

async function withTls(t: TestContext, ...names: readonly string[]) {
  const made = certificate(folder(t), names);
  const argv = ['--tls-cert', made.certFile, '--tls-key', made.keyFile];
  const running: TestController = await runningController(t, { files: { 'a.yaml': service('web') }, argv });
  return { ...made, url: running.url.replace('https', 'wss') };
}

test('the reason distinguishes an unknown CA, a wrong name and a port without TLS', tlsLimit, async (t) => {
  const { url, certFile } = await withTls(t, 'DNS:elsewhere');
  const unknown =
    'self-signed certificate; give the CA that signed the certificate of the server as --ca-file';
  equal(await reasonAt(t, url), unknown);
  const other = await reasonAt(t, url, trusting(certFile));
  match(other, /; use a name of the server that is in its certificate$/);
  const mixed = /; use wss or https for a server with TLS, ws or http for one without$/;
  match(await reasonAt(t, url.replace('wss', 'ws')), mixed);
  const plain = await runningController(t);
  match(await reasonAt(t, plain.url.replace('http', 'wss')), mixed);
});

test('an agent connects to a controller by TLS if its CA and its name are right', tlsLimit, async (t) => {
  const { url, certFile } = await withTls(t, 'DNS:localhost', 'IP:127.0.0.1');
  const { streams } = agentOf(t, [url], trusting(certFile));
  await untilTrue(() => streams.all[0]?.state === 'open');
});

test('a replaced --ca-file is used at the next attempt, and a missing one is named', tlsLimit, async (t) => {
  const { url, certFile } = await withTls(t, 'IP:127.0.0.1');
  const other = certificate(folder(t), ['IP:127.0.0.1']);
  const { streams } = agentOf(t, [url], trusting(other.certFile));
  await untilTrue(() => /--ca-file$/.test(streams.all[0]?.reason ?? ''));
  writeFileSync(other.certFile, readFileSync(certFile));
  await untilTrue(() => streams.all[0]?.state === 'open');
  rmSync(other.certFile);
  streams.all[0]?.refuse('to see the file missing');
  await untilTrue(() => /ENOENT.*; check --token-file, --ca-file/.test(streams.all[0]?.reason ?? ''));
});

test('a --token-file that does not hold exactly one token is named with the remedy', limit, async (t) => {
  const { url } = await runningController(t, { files: { 'a.yaml': service('web') } });
  const tokenFile = join(folder(t), 'token');
  for (const [text, found] of [
    ['n1 secret\n', '2 words'],
    ['n1 secret\nn2 other\n', '4 words'],
    ['\n', '0 words'],
    ['sécret', 'one with characters that are not ASCII'],
  ]) {
    writeFileSync(tokenFile, text ?? '');
    const credentials = () => readCredentials({ ...files, tokenFile, caFile: undefined });
    equal(
      await reasonAt(t, url.replace('http', 'ws'), { credentials }),
      `--token-file ${tokenFile}: expected one token, got ${found}; ` +
        'write only the token of this node into it, without a name before it',
    );
  }
});

test(
  'a --ca-file without a certificate is named, and no other CA is trusted instead',
  tlsLimit,
  async (t) => {
    const { url } = await withTls(t, 'IP:127.0.0.1');
    const caFile = join(folder(t), 'ca.crt');
    for (const text of ['', 'none']) {
      writeFileSync(caFile, text);
      equal(
        await reasonAt(t, url, trusting(caFile)),
        `--ca-file ${caFile}: expected a PEM certificate, found none; ` +
          'write that of the CA of the controller into it',
      );
    }
  },
);

test('the reason names a client certificate that is not PEM', tlsLimit, async (t) => {
  const { url } = await withTls(t, 'IP:127.0.0.1');
  const credentials = async () => ({ token: undefined, ca: undefined, cert: 'none', key: 'none' });
  match(await reasonAt(t, url, { credentials }), /; give --ca-file, --cert and --key as PEM/);
});
