// A kubeconfig with one cluster and one user, and the client that it makes.
import { join } from 'node:path';
import { ApiClient } from '../../../../src/controller/sources/kubernetes/client.ts';
import { Credentials } from '../../../../src/controller/sources/kubernetes/credentials.ts';
import {
  type ClusterAccess,
  readKubeconfig,
} from '../../../../src/controller/sources/kubernetes/kubeconfig.ts';

export function kubeconfigOf(cluster: object, user: object = {}): object {
  return {
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
  };
}

/** Paths in the kubeconfig are relative to `at`. */
export function accessOf(cluster: object, user: object = {}, at = '/'): ClusterAccess {
  const value = kubeconfigOf(cluster, user);
  return readKubeconfig({ value, context: null, resolve: (path) => join(at, path) });
}

export function clientOf(cluster: object, user: object = {}): ApiClient {
  const access = accessOf(cluster, user);
  return new ApiClient(access, new Credentials(access, process.env), 'test');
}
