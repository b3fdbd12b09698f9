// Reads one context of a kubeconfig: the server and the credentials for it. Pure: files it names are read
// elsewhere.

import { FieldError, type Mapping, mapping, sequence, textAt } from '../fields.ts';

/** A secret or certificate: given inline, or in a file that is read whenever it is needed. */
export type Material = { readonly text: string } | { readonly file: string };

/** A program that prints an ExecCredential, as kubectl runs it. */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  /** What the plugin learns of the cluster, except its CA; only a plugin that asks for it gets it. */
  readonly cluster?: Mapping;
}

/** The address of an API server and the credentials for it. Null where the file says nothing. */
export interface ClusterAccess {
  readonly server: URL;
  readonly ca: Material | null;
  readonly serverName: string | null;
  readonly isVerified: boolean;
  readonly token: Material | null;
  readonly certificate: { readonly cert: Material; readonly key: Material } | null;
  readonly basic: { readonly username: string; readonly password: string } | null;
  readonly exec: ExecPlugin | null;
  readonly namespace: string | null;
}

export interface KubeconfigInput {
  /** The parsed file. */
  readonly value: unknown;
  /** The context to read; null for the file's current-context. */
  readonly context: string | null;
  /** Resolves a path that is relative to the file. */
  readonly resolve: (path: string) => string;
}

/** Reads one context. Throws FieldError that names the field. */
export function readKubeconfig({ value, context, resolve }: KubeconfigInput): ClusterAccess {
  const config = mapping(value, 'kubeconfig');
  const name = context ?? textAt(config['current-context'], 'current-context');
  const chosen = named(config, 'contexts', { name, key: 'context' });
  const clusterName = textAt(chosen['cluster'], `contexts[${name}].cluster`);
  const cluster = named(config, 'clusters', { name: clusterName, key: 'cluster' });
  const userName = chosen['user'];
  // A context without a user is anonymous, as behind `kubectl proxy`.
  const user =
    userName === undefined || userName === ''
      ? {}
      : named(config, 'users', { name: textAt(userName, `contexts[${name}].user`), key: 'user' });
  refuseUnsupported(user);
  const material = (from: Mapping, field: string) => materialAt(from, field, resolve);
  const cert = material(user, 'client-certificate');
  const key = material(user, 'client-key');
  if ((cert === null) !== (key === null)) {
    throw new FieldError('user', 'client-certificate and client-key belong together');
  }
  const tokenFile = optional(user, 'tokenFile');
  const token = optional(user, 'token');
  return {
    server: serverAt(cluster),
    ca: material(cluster, 'certificate-authority'),
    serverName: optional(cluster, 'tls-server-name'),
    isVerified: cluster['insecure-skip-tls-verify'] !== true,
    token: tokenFile !== null ? { file: resolve(tokenFile) } : token === null ? null : { text: token },
    certificate: cert === null || key === null ? null : { cert, key },
    basic: basicAt(user),
    exec: execAt(user, cluster, resolve),
    namespace: optional(chosen, 'namespace'),
  };
}

/** Finds an entry in a list of `{name, <key>: {...}}`, of which a kubeconfig has three. */
function named(config: Mapping, list: string, { name, key }: { name: string; key: string }): Mapping {
  const entries = sequence(config[list], list).map((entry, index) => mapping(entry, `${list}[${index}]`));
  const found = entries.find((entry) => entry['name'] === name);
  if (found !== undefined) return mapping(found[key] ?? {}, `${list}[${name}].${key}`);
  const names = entries.map((entry) => entry['name']).filter((one) => typeof one === 'string');
  throw new FieldError(
    list,
    `no ${key} is named ${JSON.stringify(name)}; there are: ${names.join(', ') || 'none'}`,
  );
}

function optional(from: Mapping, field: string): string | null {
  const value = from[field];
  return value === undefined || value === null || value === '' ? null : textAt(value, field);
}

function materialAt(from: Mapping, field: string, resolve: (path: string) => string): Material | null {
  const data = optional(from, `${field}-data`);
  if (data !== null) return { text: new TextDecoder().decode(bytesAt(data, `${field}-data`)) };
  const file = optional(from, field);
  return file === null ? null : { file: resolve(file) };
}

function bytesAt(base64: string, field: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  } catch (cause) {
    if (!(cause instanceof DOMException)) throw cause;
    throw new FieldError(field, 'expected base64');
  }
}

function serverAt(cluster: Mapping): URL {
  const text = textAt(cluster['server'], 'cluster.server');
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
  throw new FieldError('cluster.server', `expected a URL with https or http, got ${JSON.stringify(text)}`);
}

function basicAt(user: Mapping): ClusterAccess['basic'] {
  const username = optional(user, 'username');
  return username === null ? null : { username, password: optional(user, 'password') ?? '' };
}

function execAt(user: Mapping, cluster: Mapping, resolve: KubeconfigInput['resolve']): ExecPlugin | null {
  if (user['exec'] === undefined || user['exec'] === null) return null;
  const exec = mapping(user['exec'], 'user.exec');
  const command = textAt(exec['command'], 'user.exec.command');
  return {
    apiVersion: textAt(exec['apiVersion'], 'user.exec.apiVersion'),
    // A bare name is looked up in PATH; a path is relative to the file.
    command: command.includes('/') ? resolve(command) : command,
    args: sequence(exec['args'], 'user.exec.args').map((word, index) => {
      return textAt(word, `user.exec.args[${index}]`);
    }),
    env: sequence(exec['env'], 'user.exec.env').map((entry, index) => {
      const field = `user.exec.env[${index}]`;
      const { name, value } = mapping(entry, field);
      return { name: textAt(name, `${field}.name`), value: textAt(value, `${field}.value`) };
    }),
    ...(exec['provideClusterInfo'] === true ? { cluster: clusterInfo(cluster) } : {}),
  };
}

const execExtension = 'client.authentication.k8s.io/exec';

/** `spec.cluster` of an ExecCredential, without the CA; `config` is the cluster's extension for plugins. */
function clusterInfo(cluster: Mapping): Mapping {
  const plain = ['server', 'tls-server-name', 'insecure-skip-tls-verify', 'proxy-url', 'disable-compression'];
  const said = plain.filter((field) => cluster[field] !== undefined && cluster[field] !== null);
  const extensions = sequence(cluster['extensions'], 'cluster.extensions').map((entry, index) => {
    return mapping(entry, `cluster.extensions[${index}]`);
  });
  const config = extensions.find(({ name }) => name === execExtension)?.['extension'];
  return {
    ...Object.fromEntries(said.map((field) => [field, cluster[field]])),
    ...(config === undefined ? {} : { config }),
  };
}

function refuseUnsupported(user: Mapping): void {
  const unsupported = ['auth-provider', 'as', 'as-uid', 'as-groups', 'as-user-extra'];
  const found = unsupported.find((field) => user[field] !== undefined && user[field] !== null);
  if (found === undefined) return;
  throw new FieldError(`user.${found}`, 'not supported: use exec, a certificate, token or tokenFile');
}
