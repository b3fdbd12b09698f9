// A container as a kubelet would start it from the Pod template of deploy/, by podman in the namespace of a
// node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { defaultValues, renderChart } from '../../src/cli/manifests/chart.ts';
import { hasTool } from '../kernel/own-kernel.ts';
import { Program } from '../kubernetes/processes.ts';
import type { Namespace } from '../namespaces.ts';

interface Container {
  readonly args: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly valueFrom: { readonly fieldRef: { fieldPath: string } };
  }[];
  readonly volumeMounts: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
  readonly securityContext: {
    readonly runAsUser: number;
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
}

/** The one container of the DaemonSet or of the Deployment, with what its Pod says of its user. */
export function containerOf(part: 'agent' | 'controller'): Container {
  const text = renderChart({ part, namespace: 'vipward-system', values: defaultValues() });
  const objects = parseAllDocuments(text).map((document) => document.toJS());
  const { spec } = objects.find(({ kind }) => kind === 'DaemonSet' || kind === 'Deployment').spec.template;
  const [container] = spec.containers;
  return { ...container, securityContext: { ...spec.securityContext, ...container.securityContext } };
}

/**
 * What a test wants of every container: nothing of it stays, there is no network beyond ours, and no limit is
 * raised, which a root without CAP_SYS_RESOURCE may not do.
 */
const bare = [
  ...['--rm', '--pull', 'never', '--cgroups', 'disabled'],
  ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
];

/** OVERLAYFS_SUPER_MAGIC of linux/magic.h: an overlay cannot lie on another one. */
const overlayMagic = 0x794c7630;

/** crun refuses a machine that mixes both versions of cgroups; podman sees one of them here. */
const oneVersion = 'mount -t cgroup2 none /sys/fs/cgroup; exec podman "$@"';
const program = ['unshare', '-m', 'sh', '-c', oneVersion, 'podman'];

const notRoot = process.getuid?.() === 0 ? false : 'podman needs root here';
const missing = ['podman', 'crun', 'strip'].map((tool) => hasTool(tool, '--version'));

/** Why there are no containers here, or false. */
export const noPodman: string | false = notRoot || missing.find((reason) => reason !== false) || false;

/** Images and containers of a test, apart from any other of this machine. */
export class Podman implements Disposable {
  readonly #flags: readonly string[];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(join(folder, 'podman'), { recursive: true });
    const at = (name: string): string => join(folder, 'podman', name);
    const driver = statfsSync(folder).type === overlayMagic ? 'vfs' : 'overlay';
    this.#flags = [
      ...['--root', at('root'), '--runroot', at('run'), '--tmpdir', at('tmp'), '--storage-driver', driver],
      ...['--events-backend', 'none', '--cgroup-manager', 'cgroupfs'],
    ];
  }

  /** Runs podman to its end; it must succeed. */
  do(words: readonly string[]): string {
    const [name = '', ...argv] = [...program, ...this.#flags, ...words];
    const { status, stdout, stderr } = spawnSync(name, argv, { encoding: 'utf8' });
    assert.equal(status, 0, `podman ${words.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** Removes the containers that a failed test left running, and frees the storage. */
  [Symbol.dispose](): void {
    this.do(['rm', '--all', '--force', '--time', '1']);
    this.do(['rmi', '--all', '--force']);
  }

  /** Makes an image of a folder, with the settings that the last stage of the Dockerfile gives it. */
  importFolder(folder: string, image: string): void {
    const dockerfile = readFileSync(fileURLToPath(new URL('../../Dockerfile', import.meta.url)), 'utf8');
    const settings = dockerfile
      .split('FROM scratch')[1]
      ?.split('\n')
      .filter((line) => /^(ENV|WORKDIR|ENTRYPOINT|CMD) /.test(line))
      .flatMap((line) => ['--change', line]);
    const archive = join(this.#folder, 'image.tar');
    assert.equal(spawnSync('tar', ['-C', folder, '-cf', archive, '.']).status, 0);
    this.do(['import', ...(settings ?? []), archive, image]);
  }

  /** Makes the image as deploy/image.sh puts it together. */
  makeImage(image: string): void {
    const script = fileURLToPath(new URL('../../deploy/image.sh', import.meta.url));
    const root = join(this.#folder, 'root');
    const { status, stderr } = spawnSync('sh', [script, root], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    this.importFolder(root, image);
  }

  /** Runs the image to its end, without a network, and returns what it prints. */
  say(image: string, ...words: readonly string[]): string {
    return this.do(['run', ...bare, '--network', 'none', image, ...words]);
  }

  /** Starts a container in a network namespace; its output is in a file. */
  start(where: Namespace, flags: readonly string[], name: string): Program {
    const usual = ['run', ...bare, '--name', name, '--network', 'host'];
    const [first = '', ...argv] = [...program, ...this.#flags, ...usual, ...flags];
    return new Program(where, [first, ...argv], join(this.#folder, `${name}.log`));
  }
}

export interface PodInput {
  readonly image: string;
  /** What the template takes from fields of the Pod, by their path. */
  readonly fields: Readonly<Record<string, string>>;
  /** Where its volumes are on this machine, by their names. */
  readonly volumes: Readonly<Record<string, string>>;
  /** Names that a cluster's DNS would have. */
  readonly hosts: Readonly<Record<string, string>>;
}

/**
 * The flags of `podman run` for a container: its mounts, rights, environment and arguments. `more` has what a
 * kubelet adds by itself.
 */
export function containerFlags(
  container: Container,
  input: PodInput,
  more: readonly string[] = [],
): readonly string[] {
  const { runAsUser, readOnlyRootFilesystem, allowPrivilegeEscalation, capabilities } =
    container.securityContext;
  assert.deepEqual([readOnlyRootFilesystem, allowPrivilegeEscalation], [true, false]);
  const env = container.env.map(({ name, valueFrom }) => [
    name,
    input.fields[valueFrom.fieldRef.fieldPath] ?? '',
  ]);
  const values = new Map(env as [string, string][]);
  const expand = (text: string): string => text.replace(/\$\((\w+)\)/g, (_, name) => values.get(name) ?? '');
  return [
    ...['--user', String(runAsUser), '--read-only', '--read-only-tmpfs=false'],
    ...['--security-opt', 'no-new-privileges'],
    ...capabilities.drop.flatMap((name) => ['--cap-drop', name]),
    ...(capabilities.add ?? []).flatMap((name) => ['--cap-add', name]),
    ...[...values].flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    ...Object.entries(input.hosts).flatMap(([name, address]) => ['--add-host', `${name}:${address}`]),
    ...container.volumeMounts.flatMap(({ name, mountPath, readOnly }) => {
      return ['--volume', `${input.volumes[name]}:${mountPath}${readOnly === true ? ':ro' : ''}`];
    }),
    ...[...more, input.image, ...container.args.map(expand)],
  ];
}

/** Writes what the Secrets and the ConfigMap of deploy/ would have, and returns the paths. */
export function writeVolumes(
  folder: string,
  given: { readonly ca: string; readonly token: string },
): PodInput['volumes'] {
  const at = (name: string): string => join(folder, name);
  for (const name of ['state', 'token', 'ca']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('xtables.lock'), '');
  writeFileSync(join(at('token'), 'token'), given.token);
  writeFileSync(join(at('ca'), 'ca.crt'), given.ca);
  return { state: at('state'), 'xtables-lock': at('xtables.lock'), token: at('token'), ca: at('ca') };
}
