// The options of `--kubernetes` and the checks on their values; config.ts of the controller has the others.

import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { differingKeys } from '../../../process/config.ts';
import {
  camelCase,
  defaultValues,
  envName,
  type OptionPlaces,
  type OptionValues,
} from '../../../process/options.ts';
import { UsageError } from '../../../process/usage.ts';
import { parseHostPort } from '../../../process/values.ts';
import type { GivenFile } from './access.ts';

export const kubernetesOptions = [
  { name: 'kubernetes', kind: 'flag', help: 'read Services from a Kubernetes API server' },
  {
    name: 'kubeconfig',
    kind: 'text',
    placeholder: 'FILE',
    help: 'kubeconfig of the API server (else KUBECONFIG, the Pod, ~/.kube/config)',
  },
  {
    name: 'context',
    kind: 'text',
    placeholder: 'NAME',
    help: 'context of the kubeconfig (else its current one)',
  },
  {
    name: 'namespace',
    kind: 'text',
    placeholder: 'NS',
    help: 'namespace of the Lease (else that of the Pod or context, or vipward-system)',
  },
  {
    name: 'identity',
    kind: 'text',
    placeholder: 'NAME',
    help: 'name of this process in the Lease (else HOSTNAME_ and eight digits)',
  },
  {
    name: 'advertise',
    kind: 'text',
    placeholder: 'HOST[:PORT]',
    help: 'address at which clients reach this process; the port of --listen if it has none',
  },
  {
    name: 'load-balancer-class',
    kind: 'list',
    default: 'vipward.io/vip',
    placeholder: 'NAME[,NAME...]',
    help: 'classes of Services to serve',
  },
  {
    name: 'default-class',
    kind: 'choice',
    choices: ['true', 'false'],
    default: 'true',
    help: 'also serve Services without a class',
  },
  {
    name: 'watch-namespaces',
    kind: 'list',
    placeholder: 'NS[,NS...]',
    help: 'serve only Services of these namespaces (else all)',
  },
  {
    name: 'allow-opt-out',
    kind: 'list',
    default: 'any',
    placeholder: 'any|none|NS[,NS...]',
    help: 'namespaces whose Services may open their VIP to every port, or to listeners of the node',
    check: (texts: readonly string[], where: string): void => void optOutOf(texts, where),
  },
  {
    name: 'agent-service-account',
    kind: 'text',
    placeholder: 'NS/NAME',
    help: 'accept agents by projected tokens of this ServiceAccount',
    check: ([text]: readonly string[], where: string): void => void agentAccountOf(text, where),
  },
  {
    name: 'agent-audience',
    kind: 'text',
    default: 'vipward',
    placeholder: 'NAME',
    help: 'audience that these tokens must have',
  },
  {
    name: 'ignore-exclude-label',
    kind: 'flag',
    help: 'place VIPs also on nodes excluded from external load balancers',
  },
  {
    name: 'leader-elect',
    kind: 'choice',
    choices: ['true', 'false'],
    default: 'true',
    help: 'wait for the Lease before leading; false takes it at once',
  },
  {
    name: 'leader-elect-lease-duration',
    kind: 'duration',
    default: '15s',
    help: 'time after a renewal until a standby takes the Lease',
  },
  {
    name: 'leader-elect-renew-deadline',
    kind: 'duration',
    default: '10s',
    help: 'time after a renewal until the leader stops leading',
  },
  {
    name: 'leader-elect-retry-period',
    kind: 'duration',
    default: '2s',
    help: 'time between renewals of the Lease',
  },
  {
    name: 'leader-elect-resource-name',
    kind: 'text',
    default: 'vipward-controller',
    placeholder: 'NAME',
    help: 'name of the Lease',
  },
] as const;

export interface KubernetesConfig {
  readonly kubeconfig: GivenFile | undefined;
  readonly context: string | undefined;
  /** Undefined: that of the Pod or of the context. */
  readonly namespace: string | undefined;
  readonly identity: string;
  readonly advertise: string | null;
  readonly classes: readonly string[];
  readonly takesUnclassed: boolean;
  /** Empty: all. */
  readonly watchNamespaces: readonly string[];
  readonly ignoresExclude: boolean;
  /** Whether Services of a namespace may open their VIP to every port. */
  readonly mayOptOut: (namespace: string) => boolean;
  /** The ServiceAccount whose projected tokens are accepted, NAMESPACE/NAME; null: none. */
  readonly agentAccount: string | null;
  readonly agentAudience: string;
  readonly lease: LeaseConfig;
}

export interface LeaseConfig {
  readonly name: string;
  readonly waits: boolean;
  readonly durationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

/** Shortest retry period: every controller requests the Lease this often. */
const leastRetryPeriodMs = 100;

/** The values of these options, and where each was set. */
export interface KubernetesOptions {
  readonly values: OptionValues<typeof kubernetesOptions>;
  readonly places: OptionPlaces<typeof kubernetesOptions>;
}

/** `listenPort` is that of --listen. Throws UsageError that names the option to change. */
export function kubernetesConfig(options: KubernetesOptions, listenPort: number): KubernetesConfig {
  const { values, places } = options;
  const { kubeconfig: path, context, namespace } = values;
  const kubeconfig = path === undefined ? undefined : { path, where: places.kubeconfig };
  const advertise =
    values.advertise === undefined ? null : advertisedAt(values.advertise, listenPort, places.advertise);
  return {
    kubeconfig,
    context,
    namespace,
    advertise,
    lease: leaseConfig(options),
    // Two processes on one machine need different names.
    identity: values.identity ?? `${hostname()}_${randomBytes(4).toString('hex')}`,
    classes: values.loadBalancerClass,
    agentAccount: agentAccountOf(values.agentServiceAccount),
    agentAudience: values.agentAudience,
    mayOptOut: optOutOf(values.allowOptOut),
    ignoresExclude: values.ignoreExcludeLabel,
    takesUnclassed: values.defaultClass === 'true',
    watchNamespaces: values.watchNamespaces,
  };
}

function leaseConfig({ values, places }: KubernetesOptions): LeaseConfig {
  const lease = {
    name: values.leaderElectResourceName,
    waits: values.leaderElect === 'true',
    durationMs: values.leaderElectLeaseDuration,
    renewDeadlineMs: values.leaderElectRenewDeadline,
    retryPeriodMs: values.leaderElectRetryPeriod,
  };
  const duration = `${places.leaderElectLeaseDuration} (${lease.durationMs}ms)`;
  const deadline = `${places.leaderElectRenewDeadline} (${lease.renewDeadlineMs}ms)`;
  const period = places.leaderElectRetryPeriod;
  if (lease.durationMs <= lease.renewDeadlineMs)
    throw new UsageError(`${duration} must be longer than ${deadline}`);
  if (lease.renewDeadlineMs <= lease.retryPeriodMs * 1.2)
    throw new UsageError(`${deadline} must be over 1.2 times ${period} (${lease.retryPeriodMs}ms)`);
  if (lease.retryPeriodMs < leastRetryPeriodMs) {
    const least = `${leastRetryPeriodMs}ms or more`;
    throw new UsageError(`${period}: expected ${least}, got ${lease.retryPeriodMs}ms`);
  }
  return lease;
}

/**
 * Throws UsageError that names an option that is not at its default. A controller that reads files ignores
 * these options, and a user may rely on one to close a VIP.
 */
export function refuseWithoutCluster(values: OptionValues<typeof kubernetesOptions>): void {
  const isAsked = new Set<string>(differingKeys(defaultValues(kubernetesOptions), values));
  const name = kubernetesOptions.map((option) => option.name).find((flag) => isAsked.has(camelCase(flag)));
  if (name === undefined) return;
  const places = `--${name}, ${envName(name)} or ${camelCase(name)} in the config file`;
  throw new UsageError(`--${name} applies only with --kubernetes, not with --services: remove ${places}`);
}

/** HOST:PORT as in a URL. An IPv6 address alone, as a Pod knows its own, needs no brackets. */
function advertisedAt(text: string, listenPort: number, where: string): string {
  const isAlone = isIP(text) === 6;
  const hasPort = !isAlone && /:\d*$/.test(text);
  const given = isAlone ? `[${text}]:${listenPort}` : hasPort ? text : `${text}:${listenPort}`;
  const { host } = parseHostPort(given, where);
  if (host !== undefined && (isIP(host) > 0 || /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/i.test(host))) return given;
  throw new UsageError(`${where} ${text}: expected an address or a host name, with or without a port`);
}

function agentAccountOf(text: string | undefined, where = '--agent-service-account'): string | null {
  if (text === undefined || /^[^/]+\/[^/]+$/.test(text)) return text ?? null;
  throw new UsageError(`${where} ${text}: expected NAMESPACE/NAME`);
}

function optOutOf(list: readonly string[], where = '--allow-opt-out'): (namespace: string) => boolean {
  const [word] = list;
  if (list.length === 1 && (word === 'any' || word === 'none')) return () => word === 'any';
  const wrong = list.find((name) => !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name));
  if (wrong === undefined && !list.includes('any') && !list.includes('none'))
    return (namespace) => list.includes(namespace);
  throw new UsageError(`${where} ${list}: expected any, none, or names of namespaces`);
}
