// The credential that each request to the API server has, by what the kubeconfig names.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Credentials } from '../../../../src/controller/sources/kubernetes/credentials.ts';
import { folder } from '../../fixture.ts';
import { accessOf } from './client-of.ts';

/** The credentials of a user. */
function credentialsOf(user: object, at = '/'): Credentials {
  const cluster = { server: 'https://10.0.0.1', 'certificate-authority-data': btoa('CA') };
  return new Credentials(accessOf(cluster, user, at), process.env);
}

/** A plugin that prints this status; `$N` in it is another number each time. */
function plugin(status: object): Credentials {
  const text = JSON.stringify({ status }).replaceAll('"', '\\"');
  const args = ['-c', `N=$(date +%s%N); printf '%s' "${text}"`];
  return credentialsOf({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args } });
}

test('a token comes before a password, and without either a request has no authorization', async () => {
  const of = async (user: object) => (await credentialsOf(user).current()).authorization;
  equal(await of({ token: 't', username: 'me', password: 'p' }), 'Bearer t');
  equal(await of({ username: 'me', password: 'p' }), `Basic ${btoa('me:p')}`);
  equal(await of({}), null);
  const { ca } = await credentialsOf({}).current();
  equal(ca, 'CA');
});

test('a certificate and its key are read again from their files for each request', async (t) => {
  const at = folder(t);
  const credentials = credentialsOf({ 'client-certificate': 'cert', 'client-key': 'key' }, at);
  for (const version of ['1', '2']) {
    for (const name of ['cert', 'key']) writeFileSync(join(at, name), `${name} ${version}`);
    const { cert, key } = await credentials.current();
    deepEqual([cert, key], [`cert ${version}`, `key ${version}`]);
  }
});

test('the credential of a plugin is kept until ten seconds before it expires', async () => {
  const asked = async (expiresInS: number | null) => {
    const expirationTimestamp =
      expiresInS === null ? undefined : new Date(Date.now() + expiresInS * 1000).toISOString();
    const credentials = plugin({ token: '$N', expirationTimestamp });
    const given: (string | null)[] = [];
    for (let times = 0; times < 3; times++) given.push((await credentials.current()).authorization);
    return new Set(given).size;
  };
  deepEqual([await asked(null), await asked(600), await asked(9)], [1, 1, 3]);
});

test('the certificate of a plugin is used', async () => {
  const credentials = plugin({ clientCertificateData: 'CERT', clientKeyData: 'KEY' });
  const { authorization, cert, key } = await credentials.current();
  deepEqual([authorization, cert, key], [null, 'CERT', 'KEY']);
});

test('an empty CA is named, and no other CA is trusted instead', async (t) => {
  const file = join(folder(t), 'ca.crt');
  const credentialsFor = (authority: object) => {
    const cluster = { server: 'https://10.0.0.1:6443', ...authority };
    return new Credentials(accessOf(cluster, { token: 'secret' }), {});
  };
  const inline = 'certificate-authority-data';
  await rejects(credentialsFor({ [inline]: ' ' }).current(), {
    message: `${inline}: expected a PEM certificate, found nothing`,
  });
  const credentials = credentialsFor({ 'certificate-authority': file });
  writeFileSync(file, '');
  await rejects(credentials.current(), { message: `${file}: expected a PEM certificate, found nothing` });
  writeFileSync(file, 'CA');
  equal((await credentials.current()).ca, 'CA');
});
