// Finds the API server and our credentials: --kubeconfig, KUBECONFIG, the Pod we run in, ~/.kube/config.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { UsageError } from '../../../process/usage.ts';
import { type ClusterAccess, readKubeconfig } from './kubeconfig.ts';

/** Where the kubelet puts what a Pod needs to speak with the API server. */
const podFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface AccessInput {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Throws UsageError that names the four places, or what is wrong with the one that was found. */
export function findAccess({ kubeconfig, context, env }: AccessInput): ClusterAccess {
  const named = kubeconfig ?? env['KUBECONFIG']?.split(':').find((path) => path !== '' && existsSync(path));
  if (named !== undefined) return fromFile(named, context);
  if (env['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(join(podFolder, 'token')))
    return fromPod(env);
  const usual = join(env['HOME'] ?? '/root', '.kube', 'config');
  if (existsSync(usual)) return fromFile(usual, context);
  throw new UsageError(
    `--kubernetes: no API server is known: give --kubeconfig FILE or KUBECONFIG, run in a Pod with a ` +
      `ServiceAccount token (${podFolder}/token), or have ${usual}`,
  );
}

function fromFile(path: string, context: string | undefined): ClusterAccess {
  const folder = dirname(resolve(path));
  try {
    return readKubeconfig({
      value: parse(readFileSync(path, 'utf8'), { logLevel: 'error' }),
      context: context ?? null,
      resolve: (file) => resolve(folder, file),
    });
  } catch (error) {
    throw new UsageError(`--kubeconfig ${path}: ${(error as Error).message.split('\n')[0]}`, {
      cause: error,
    });
  }
}

function fromPod(env: AccessInput['env']): ClusterAccess {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const file = join(podFolder, 'namespace');
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    ca: { file: join(podFolder, 'ca.crt') },
    serverName: null,
    isVerified: true,
    token: { file: join(podFolder, 'token') },
    certificate: null,
    basic: null,
    exec: null,
    namespace: existsSync(file) ? readFileSync(file, 'utf8').trim() : null,
  };
}
