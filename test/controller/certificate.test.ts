// The certificates that the controller makes, as TLS accepts and refuses them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { ageOf, makeAuthority, makeServerPair, type Pair } from '../../src/controller/certificate.ts';

const nowMs = Date.now();
const dayMs = 86_400_000;
const names = ['vipward-controller.vipward-system.svc', 'localhost'];
const authority = makeAuthority({ subject: 'vipward', fromMs: nowMs, days: 3650 });
const serverFrom = (fromMs: number, days: number, by = authority): Pair => {
  return makeServerPair(by, names, { subject: 'vipward-controller', fromMs, days });
};

/** The error of a client that trusts one authority; null if it accepts the server. */
async function verdict(server: Pair, ca: string, servername: string): Promise<string | null> {
  const listener = createServer(server, (socket) => socket.end());
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', ca, servername });
  try {
    await once(client, 'secureConnect');
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    client.destroy();
    listener.close();
  }
}

test('a client that trusts the authority accepts the server by its names, and by no other', async () => {
  const server = serverFrom(nowMs, 90);
  for (const name of names) assert.equal(await verdict(server, authority.cert, name), null);
  assert.equal(await verdict(server, authority.cert, 'elsewhere.svc'), 'ERR_TLS_CERT_ALTNAME_INVALID');
});

test('a client refuses another authority of the same name, and an expired certificate', async () => {
  const other = makeAuthority({ subject: 'vipward', fromMs: nowMs, days: 3650 });
  const name = names[0] ?? '';
  assert.notEqual(await verdict(serverFrom(nowMs, 90, other), authority.cert, name), null);
  assert.equal(await verdict(serverFrom(nowMs - 91 * dayMs, 90), authority.cert, name), 'CERT_HAS_EXPIRED');
});

test('the age of a certificate is the share of its lifetime that has passed', () => {
  const { cert } = serverFrom(nowMs - 60 * dayMs, 90);
  assert.ok(Math.abs(ageOf(cert, nowMs) - 60 / 90) < 0.01);
  assert.ok(ageOf(cert, nowMs + 31 * dayMs) > 1);
});

test('a certificate may begin before or after 2050, where the encoding of times changes', () => {
  for (const year of [2049, 2051]) {
    const cert = new X509Certificate(serverFrom(Date.UTC(year, 5, 15, 12), 30).cert);
    assert.equal(new Date(cert.validFrom).toISOString(), `${year}-06-15T11:00:00.000Z`);
  }
});

const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';

test('openssl verifies the certificate of a server', { skip: noOpenssl }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'vipward-certificate-'));
  try {
    const [ca, leaf] = [join(folder, 'ca.crt'), join(folder, 'tls.crt')];
    writeFileSync(ca, authority.cert);
    writeFileSync(leaf, serverFrom(nowMs, 90).cert);
    const how = ['-purpose', 'sslserver', '-verify_hostname', names[0] ?? ''];
    const { status, stderr } = spawnSync('openssl', ['verify', ...how, '-CAfile', ca, leaf], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
