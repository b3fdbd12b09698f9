// Credential plugins as kubectl runs them: where the command is found, and what it is told of the cluster.
import { deepEqual } from 'node:assert/strict';
import { chmodSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findAccess } from '../../../../src/controller/sources/kubernetes/access.ts';
import { Credentials } from '../../../../src/controller/sources/kubernetes/credentials.ts';
import { kubeconfigOf } from './client-of.ts';

const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: './bin-plugin' };
const config = { audience: 'vipward' };
const cluster = {
  server: 'https://10.0.0.1:6443',
  'tls-server-name': 'api',
  'certificate-authority': 'ca.pem',
  extensions: [
    { name: 'another', extension: {} },
    { name: 'client.authentication.k8s.io/exec', extension: config },
  ],
};

/** The KUBERNETES_EXEC_INFO of a plugin beside its kubeconfig. */
async function told(more: object): Promise<{ readonly spec: { readonly cluster?: object } }> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'vipward-exec-'));
  const plugin = join(folder.path, 'bin-plugin');
  const token = '$(printf %s "$KUBERNETES_EXEC_INFO" | base64 | tr -d "\\n")';
  writeFileSync(plugin, `#!/bin/sh\nprintf '{"status":{"token":"%s"}}' "${token}"\n`);
  chmodSync(plugin, 0o700);
  writeFileSync(join(folder.path, 'ca.pem'), 'CA');
  const path = join(folder.path, 'config');
  const kubeconfig = kubeconfigOf(cluster, { exec: { ...exec, ...more } });
  writeFileSync(path, JSON.stringify(kubeconfig));
  const access = findAccess({ kubeconfig: { path, where: '--kubeconfig' }, context: undefined, env: {} });
  const { authorization } = await new Credentials(access, process.env).current();
  return JSON.parse(atob(authorization?.replace('Bearer ', '') ?? ''));
}

test('a command with a slash is relative to the kubeconfig, and is told no cluster by default', async () => {
  const { spec, ...info } = await told({});
  deepEqual(info, { apiVersion: exec.apiVersion, kind: 'ExecCredential' });
  deepEqual(spec, { interactive: false });
  deepEqual((await told({ provideClusterInfo: false })).spec, { interactive: false });
});

test('a plugin with provideClusterInfo is told the cluster, its CA and its extension', async () => {
  const { spec } = await told({ provideClusterInfo: true });
  deepEqual(spec.cluster, {
    server: cluster.server,
    'tls-server-name': 'api',
    config,
    'certificate-authority-data': btoa('CA'),
  });
});

test('a command without a slash is found in PATH', async () => {
  const script = 'printf \'{"status":{"token":"%s"}}\' "$(printf {} | base64)"';
  deepEqual(await told({ command: 'sh', args: ['-c', script] }), {});
});
