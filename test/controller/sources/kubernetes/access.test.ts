// How the API server is found. A kubeconfig that was named and does not exist never leads to another cluster.
import { deepEqual, equal, throws } from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findAccess } from '../../../../src/controller/sources/kubernetes/access.ts';
import { folder } from '../../fixture.ts';

function kubeconfig(path: string, host: string): string {
  const clusters = [{ name: 'c', cluster: { server: `https://${host}:6443` } }];
  const contexts = [{ name: 'a', context: { cluster: 'c', namespace: 'of-context' } }];
  writeFileSync(path, JSON.stringify({ 'current-context': 'a', contexts, clusters }));
  return path;
}

/** A home with a kubeconfig of its own. */
function home(t: TestContext): string {
  const path = folder(t);
  mkdirSync(join(path, '.kube'));
  kubeconfig(join(path, '.kube', 'config'), 'usual');
  return path;
}

function hostOf(env: Record<string, string>, path?: string): string {
  const given = path === undefined ? undefined : { path, where: '--kubeconfig' };
  return findAccess({ kubeconfig: given, context: undefined, env }).server.hostname;
}

test('the flag comes first, then the first existing file of KUBECONFIG, then the default kubeconfig', (t) => {
  const [Home, other] = [home(t), folder(t)];
  const [one, two] = ['one', 'two'].map((host) => kubeconfig(join(other, host), host));
  const Kubeconfig = `:${join(other, 'none')}:${two}`;
  equal(hostOf({ HOME: Home, KUBECONFIG: Kubeconfig }, one), 'one');
  equal(hostOf({ HOME: Home, KUBECONFIG: Kubeconfig }), 'two');
  equal(hostOf({ HOME: Home, KUBECONFIG: '' }), 'usual');
  equal(hostOf({ HOME: Home }), 'usual');
});

test('a KUBECONFIG without an existing file is wrong usage', (t) => {
  const Home = home(t);
  const Kubeconfig = [1, 2].map((index) => join(Home, `${index}`)).join(':');
  const remedy = `correct the name, or unset it for ${join(Home, '.kube', 'config')}`;
  const message = `KUBECONFIG ${Kubeconfig}: there is no such file; ${remedy}`;
  throws(() => hostOf({ HOME: Home, KUBECONFIG: Kubeconfig }), { code: 'Usage', message });
});

/** The folder with the credentials of a Pod in that namespace. */
function podOf(t: TestContext, namespace: string | null): string {
  const path = folder(t);
  writeFileSync(join(path, 'token'), 'secret');
  if (namespace !== null) writeFileSync(join(path, 'namespace'), `${namespace}\n`);
  return path;
}

test('in a Pod its ServiceAccount comes before the default kubeconfig, and after every named one', (t) => {
  const [Home, podFolder] = [home(t), podOf(t, 'of-pod')];
  const at = (KubernetesServiceHost: string, KubernetesServicePort?: string) => {
    const env = {
      HOME: Home,
      KUBERNETES_SERVICE_HOST: KubernetesServiceHost,
      ...(KubernetesServicePort && { KUBERNETES_SERVICE_PORT: KubernetesServicePort }),
    };
    return findAccess({ kubeconfig: undefined, context: undefined, env, podFolder });
  };
  equal(at('10.96.0.1').server.href, 'https://10.96.0.1/');
  equal(at('fd96::1', '6443').server.href, 'https://[fd96::1]:6443/');
  const { ca, token, isVerified, namespace } = at('10.96.0.1');
  deepEqual([ca, token], [{ file: join(podFolder, 'ca.crt') }, { file: join(podFolder, 'token') }]);
  deepEqual([isVerified, namespace], [true, 'of-pod']);
  const env = { HOME: Home, KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBECONFIG: join(Home, '.kube', 'config') };
  const given = { kubeconfig: undefined, context: undefined, podFolder };
  equal(findAccess({ ...given, env }).server.hostname, 'usual');
  rmSync(join(podFolder, 'token'));
  equal(findAccess({ ...given, env: { ...env, KUBECONFIG: '' } }).server.hostname, 'usual', 'no token');
});

test('without any of them the error names the four places', (t) => {
  const env = { HOME: folder(t) };
  const podFolder = join(folder(t), 'none');
  throws(() => findAccess({ kubeconfig: undefined, context: undefined, env, podFolder }), {
    code: 'Usage',
    message: /--kubeconfig FILE or KUBECONFIG, run in a Pod .*none\/token\), or have .*\.kube\/config$/,
  });
});

test('the namespace is that of the Pod, also with a kubeconfig, else that of the context', (t) => {
  const kubeconfig = { path: join(home(t), '.kube', 'config'), where: '--kubeconfig' };
  const namespaceIn = (podFolder: string) =>
    findAccess({ kubeconfig, context: undefined, env: {}, podFolder }).namespace;
  equal(namespaceIn(podOf(t, 'of-pod')), 'of-pod');
  for (const none of [podOf(t, null), podOf(t, ''), join(folder(t), 'none')])
    equal(namespaceIn(none), 'of-context');
});

test('the error of an unusable kubeconfig names where its path was given', (t) => {
  const Home = home(t);
  const path = join(Home, '.kube', 'config');
  writeFileSync(path, '[]');
  for (const [where, env, flag] of [
    ['--kubeconfig', { HOME: Home, KUBECONFIG: path }, path],
    ['KUBECONFIG', { HOME: Home, KUBECONFIG: path }, undefined],
    ['the usual kubeconfig', { HOME: Home }, undefined],
  ] as const)
    throws(() => hostOf({ ...env }, flag), { code: 'Usage', message: new RegExp(`^${where} ${path}: `) });
  writeFileSync(path, 'clusters:\n\ta: b\n');
  const message = `--kubeconfig ${path}: Tabs are not allowed as indentation at line 2, column 1`;
  throws(() => hostOf({}, path), { code: 'Usage', message });
});
