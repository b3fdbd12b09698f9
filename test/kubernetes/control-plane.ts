// The programs of a real control plane, as build.sh made them, or why there are none: the suite then skips.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cannotUnshare } from '../namespaces.ts';

export type Program =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-proxy'
  | 'kubectl'
  | 'helm-template';

const found = spawnSync(fileURLToPath(new URL('build.sh', import.meta.url)), ['-n'], { encoding: 'utf8' });
const folder = found.stdout?.trim() ?? '';

/** Why the programs cannot be run here, or false, as the `skip` option of node:test; printed once. */
export const skip: string | false =
  found.status === 0
    ? cannotUnshare() || withoutProgram('etcd') || withoutProgram('kube-apiserver')
    : (found.stderr ?? String(found.error)).trim();
if (skip !== false) process.stderr.write(`no Kubernetes to test with: ${skip}\n`);

/** The path of a program. */
export function programPath(program: Program): string {
  return join(folder, program);
}

/** Why a program is missing in assets that were put together elsewhere, or false. */
export function withoutProgram(program: Program): string | false {
  return existsSync(programPath(program)) ? false : `${folder} has no ${program}`;
}
