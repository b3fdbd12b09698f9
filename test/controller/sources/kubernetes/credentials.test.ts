// The credentials for the API server, which are read from their files for each request.
import { equal, rejects } from 'node:assert/strict';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Credentials } from '../../../../src/controller/sources/kubernetes/credentials.ts';
import { readKubeconfig } from '../../../../src/controller/sources/kubernetes/kubeconfig.ts';

test('an empty CA file is named, and no other CA is trusted instead', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-credentials-'));
  const file = join(folder.path, 'ca.crt');
  const cluster = { server: 'https://10.0.0.1:6443', 'certificate-authority': file };
  const value = {
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token: 'secret' } }],
  };
  const access = readKubeconfig({ value, context: null, resolve: (path) => path });
  const credentials = new Credentials(access, {});
  writeFileSync(file, '');
  await rejects(credentials.current(), { message: `${file}: expected a PEM certificate, found nothing` });
  writeFileSync(file, 'CA');
  equal((await credentials.current()).ca, 'CA');
});
