// The verbs against a real controller with TLS and tokens.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Certificate, certificate, noCertificates } from '../certificates.ts';
import { folder, runningController, service } from '../controller/fixture.ts';
import { run } from './stub.ts';

const limit = { timeout: 60_000, skip: noCertificates };

interface Secured extends Certificate {
  readonly url: string;
  readonly tokenFile: string;
}

async function secured(t: TestContext, ...names: readonly string[]): Promise<Secured> {
  const made = certificate(folder(t), names);
  const tokenFile = join(folder(t), 'tokens');
  writeFileSync(tokenFile, 'n1 secret-1\noperator secret-0\n');
  const argv = ['--tls-cert', made.certFile, '--tls-key', made.keyFile, '--token-file', tokenFile];
  const { url } = await runningController(t, { files: { 'a.yaml': service('web') }, argv });
  return { ...made, url, tokenFile };
}

for (const scheme of ['https', 'wss']) {
  test(`status and drain reach a controller by ${scheme}`, limit, async (t) => {
    const { url, certFile, tokenFile } = await secured(t, 'IP:127.0.0.1');
    const server = ['--controller', url.replace('https', scheme), '--ca-file', certFile];
    const words = [...server, '--token-file', tokenFile];
    const status = await run(['status', '-o', 'json', ...words]);
    assert.equal(status.code, 0, status.err);
    assert.equal((JSON.parse(status.out) as { vips: { address: string }[] }).vips[0]?.address, '10.77.0.100');
    const env = { VIPWARD_CONTROLLER: url, VIPWARD_CA_FILE: certFile, VIPWARD_TOKEN_FILE: tokenFile };
    const drained = await run(['drain', 'nobody'], env);
    assert.equal(drained.code, 1);
    assert.match(drained.err, /nobody/);
    const unknown = await run(['drain', 'n1', ...server]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /token|credential/i);
  });
}

test('status exits 3 with the remedy if a certificate is not accepted', limit, async (t) => {
  const { url, certFile } = await secured(t, 'DNS:elsewhere');
  for (const [words, reason] of [
    [['--controller', url], /: self-signed certificate \(give the CA that signed the .* as --ca-file\);/],
    [['--controller', url, '--ca-file', certFile], /use a name of the server that is in its certificate/],
    [['--controller', url.replace('https', 'http')], /use wss or https for a server with TLS/],
  ] as const) {
    const { code, out, err } = await run(['status', ...words]);
    assert.deepEqual([code, out], [3, '']);
    assert.match(err, reason);
  }
});
