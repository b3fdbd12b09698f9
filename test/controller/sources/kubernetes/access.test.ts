// How the API server is found. A kubeconfig that was named and does not exist never leads to another cluster.
import { equal, throws } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findAccess } from '../../../../src/controller/sources/kubernetes/access.ts';
import { folder } from '../../fixture.ts';

function kubeconfig(path: string, host: string): string {
  const clusters = [{ name: 'c', cluster: { server: `https://${host}:6443` } }];
  const contexts = [{ name: 'a', context: { cluster: 'c' } }];
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
});
