// The controller's configuration from flags, environment and config file. main.ts alone calls it, at the
// start and whenever the file changes.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { differingKeys } from '../process/config.ts';
import type { OptionPlaces, OptionValues } from '../process/options.ts';
import { UsageError } from '../process/usage.ts';
import { checkHostPort, type HostPort, isLoopback, parseHostPort } from '../process/values.ts';
import { type Pool, parsePools } from './allocation/pools.ts';
import {
  type KubernetesConfig,
  kubernetesConfig,
  kubernetesOptions,
  refuseWithoutCluster,
} from './sources/kubernetes/config.ts';

const ownOptions = [
  {
    name: 'services',
    kind: 'text',
    placeholder: 'PATH',
    help: 'file or folder of Service manifests to watch; needed without --kubernetes',
  },
  {
    name: 'pool',
    kind: 'list',
    placeholder: 'NAME=RANGE[,RANGE...]',
    help: 'addresses for VIPs, as CIDR or FIRST-LAST; may be repeated',
    check: (texts: readonly string[], where: string): void => void parsePools(texts, where),
  },
  {
    name: 'listen',
    kind: 'text',
    default: '127.0.0.1:9470',
    placeholder: 'HOST:PORT',
    help: 'address and port to listen on',
    check: (texts: readonly string[], where: string): void => checkHostPort(texts, where),
  },
  {
    name: 'state',
    kind: 'text',
    placeholder: 'DIR',
    help: 'folder of the records, without --kubernetes (default /var/lib/vipward)',
  },
  {
    name: 'config',
    kind: 'text',
    placeholder: 'FILE',
    help: 'YAML with these flags as keys, read again on change and on SIGHUP',
  },
  {
    name: 'token-file',
    kind: 'text',
    placeholder: 'FILE',
    help: 'file of lines `NODE TOKEN` and `operator TOKEN`',
  },
  { name: 'tls-cert', kind: 'text', placeholder: 'FILE', help: 'PEM file of the certificate of this server' },
  { name: 'tls-key', kind: 'text', placeholder: 'FILE', help: 'PEM file of its key' },
  {
    name: 'client-ca',
    kind: 'text',
    placeholder: 'FILE',
    help: 'PEM file of the CA of agents, with URI SAN vipward://node/NAME',
  },
  { name: 'insecure', kind: 'flag', help: 'listen beyond loopback without asking for credentials' },
  {
    name: 'mass-removal',
    kind: 'choice',
    choices: ['wait', 'now'],
    default: 'wait',
    help: 'wait for a second reading, or not, when more than half (and 10) of the VIPs go at once',
  },
  {
    name: 'only-allow-traffic-service-ports',
    kind: 'choice',
    choices: ['true', 'false'],
    default: 'true',
    help: 'whether to filter a VIP whose Services do not say',
  },
  {
    name: 'log-level',
    kind: 'choice',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    help: 'least severe level that is logged',
  },
] as const;

export const controllerOptions: readonly [...typeof ownOptions, ...typeof kubernetesOptions] = [
  ...ownOptions,
  ...kubernetesOptions,
];

export type ControllerValues = OptionValues<typeof controllerOptions>;

/** Keys of the config file that take effect without a restart. */
const live: readonly (keyof ControllerValues)[] = ['pool', 'massRemoval', 'logLevel'];

/** Changed keys that take effect only after a restart. */
export function waitingKeys(started: ControllerValues, next: ControllerValues): readonly string[] {
  return differingKeys(started, next).filter((key) => !live.includes(key));
}

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
}

/** Where Services come from, and where records are kept. */
export type SourceConfig =
  | { readonly kind: 'files'; readonly path: string; readonly stateDir: string }
  | ({ readonly kind: 'kubernetes' } & KubernetesConfig);

export interface ControllerConfig {
  readonly source: SourceConfig;
  readonly pools: readonly Pool[];
  readonly listen: HostPort;
  readonly tokenFile: string | undefined;
  readonly tls: TlsFiles | undefined;
  /** True if controllers of a cluster share a certificate they made: beyond loopback, without TLS files. */
  readonly keepsCertificate: boolean;
  readonly massRemoval: 'wait' | 'now';
  readonly filterByDefault: boolean;
}

/** The values of all options, and where each was given. */
export interface ControllerOptions {
  readonly values: ControllerValues;
  readonly places: OptionPlaces<typeof controllerOptions>;
}

/** Checks the values against each other. Throws UsageError that says which value to change. */
export function controllerConfig({ values, places }: ControllerOptions): ControllerConfig {
  const listen = parseHostPort(values.listen, places.listen);
  const tls = tlsFiles(values);
  const takesTokens = values.tokenFile !== undefined || values.agentServiceAccount !== undefined;
  const asksWho = takesTokens || tls?.clientCa !== undefined;
  if (!isLoopback(listen.host) && !asksWho && !values.insecure) {
    throw new UsageError(
      `${places.listen} ${values.listen} accepts clients without credentials: ` +
        'give --agent-service-account, --client-ca or --token-file, or allow this by --insecure',
    );
  }
  return {
    source: sourceConfig({ values, places }, listen.port),
    pools: parsePools(values.pool),
    listen,
    tokenFile: values.tokenFile,
    tls,
    keepsCertificate: values.kubernetes && !isLoopback(listen.host) && tls === undefined && !values.insecure,
    massRemoval: values.massRemoval,
    filterByDefault: values.onlyAllowTrafficServicePorts === 'true',
  };
}

function sourceConfig({ values, places }: ControllerOptions, listenPort: number): SourceConfig {
  const { services: path, state } = values;
  if (values.kubernetes) {
    if (path !== undefined) throw new UsageError('--services and --kubernetes: give one of them');
    if (state !== undefined) throw new UsageError('--state: with --kubernetes the cluster keeps the records');
    return { kind: 'kubernetes', ...kubernetesConfig({ values, places }, listenPort) };
  }
  if (path === undefined)
    throw new UsageError(
      '--services PATH is missing: name a file or folder of Service manifests, or give --kubernetes',
    );
  refuseWithoutCluster(values);
  return { kind: 'files', path, stateDir: state ?? '/var/lib/vipward' };
}

/**
 * Reads the TLS files, at start and when they change, into server options of node:https. Throws UsageError
 * for files that node:https cannot use, or a CA that would trust no client.
 */
export function readTls({ cert, key, clientCa }: TlsFiles): { cert: Buffer; key: Buffer; ca?: Buffer } {
  const read = (flag: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw new UsageError(`${flag} ${path}: ${(error as Error).message}`, { cause: error });
    }
  };
  const pair = { cert: read('--tls-cert', cert), key: read('--tls-key', key) };
  const remedy = 'give the certificate of this server and its key, both PEM';
  usable(() => createSecureContext(pair), `--tls-cert ${cert} and --tls-key ${key}`, remedy);
  if (clientCa === undefined) return pair;
  const ca = read('--client-ca', clientCa);
  usable(() => new X509Certificate(ca), `--client-ca ${clientCa}`, 'give a PEM certificate');
  return { ...pair, ca };
}

/** OpenSSL's message ends with the reason, behind the names of its routines. */
function usable(use: () => unknown, where: string, remedy: string): void {
  try {
    use();
  } catch (error) {
    const why = (error as Error).message.split('::').at(-1);
    throw new UsageError(`${where}: ${why}; ${remedy}`, { cause: error });
  }
}

function tlsFiles({ tlsCert: cert, tlsKey: key, clientCa }: ControllerValues): TlsFiles | undefined {
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError('--tls-cert and --tls-key belong together: give both or neither');
  }
  if (cert === undefined || key === undefined) {
    if (clientCa !== undefined) throw new UsageError('--client-ca needs --tls-cert and --tls-key');
    return undefined;
  }
  return { cert, key, clientCa };
}
