// Finds the API server and the controller's credentials: --kubeconfig, KUBECONFIG, its Pod, ~/.kube/config.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { UsageError } from '../../../process/usage.ts';
import { type ClusterAccess, readKubeconfig } from './kubeconfig.ts';

/** The folder in which the kubelet mounts a Pod's credentials for the API server. */
const usualPodFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** A kubeconfig, and the option or variable that names it, for messages. */
export interface GivenFile {
  readonly path: string;
  readonly where: string;
}

export interface AccessInput {
  readonly kubeconfig: GivenFile | undefined;
  readonly context: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly podFolder?: string;
}

/** Throws UsageError that names the four places, or the fault of the file that was found. */
export function findAccess({ podFolder = usualPodFolder, ...input }: AccessInput): ClusterAccess {
  const access = findServer({ podFolder, ...input });
  // A controller is at home in the namespace of its Pod, whatever its kubeconfig names.
  return { ...access, namespace: namespaceOfPod(podFolder) ?? access.namespace };
}

function findServer({ kubeconfig, context, env, podFolder }: Required<AccessInput>): ClusterAccess {
  if (kubeconfig !== undefined) return fromFile(kubeconfig, context);
  const listed = (env['KUBECONFIG'] ?? '').split(':').filter((path) => path !== '');
  const first = listed.find((path) => existsSync(path));
  if (first !== undefined) return fromFile({ path: first, where: 'KUBECONFIG' }, context);
  if (env['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(join(podFolder, 'token')))
    return fromPod(env, podFolder);
  const usual = join(env['HOME'] ?? '/root', '.kube', 'config');
  // A KUBECONFIG that names a missing file means that file's cluster: no other cluster is used instead.
  if (listed.length > 0) {
    const remedy = `correct the name, or unset it for ${usual}`;
    throw new UsageError(`KUBECONFIG ${listed.join(':')}: there is no such file; ${remedy}`);
  }
  if (existsSync(usual)) return fromFile({ path: usual, where: 'the usual kubeconfig' }, context);
  throw new UsageError(
    `--kubernetes: no API server is known: give --kubeconfig FILE or KUBECONFIG, run in a Pod with a ` +
      `ServiceAccount token (${podFolder}/token), or have ${usual}`,
  );
}

function fromFile({ path, where }: GivenFile, context: string | undefined): ClusterAccess {
  const folder = dirname(resolve(path));
  try {
    return readKubeconfig({
      value: parse(readFileSync(path, 'utf8'), { logLevel: 'error' }),
      context: context ?? null,
      resolve: (file) => resolve(folder, file),
    });
  } catch (error) {
    throw new UsageError(`${where} ${path}: ${(error as Error).message.split(/:?\n/)[0]}`, {
      cause: error,
    });
  }
}

function fromPod(env: AccessInput['env'], podFolder: string): ClusterAccess {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    ca: { file: join(podFolder, 'ca.crt') },
    serverName: null,
    isVerified: true,
    token: { file: join(podFolder, 'token') },
    certificate: null,
    basic: null,
    exec: null,
    namespace: null,
  };
}

function namespaceOfPod(podFolder: string): string | null {
  const file = join(podFolder, 'namespace');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() || null : null;
}
