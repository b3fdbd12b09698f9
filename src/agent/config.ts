// The agent's options from flags, environment and config file, checked at the start and whenever the file
// changes.

import type { OptionValues } from '../process/options.ts';
import { UsageError } from '../process/usage.ts';
import { checkHostPort, type HostPort, parseHostPort } from '../process/values.ts';
import { limits } from '../protocol/messages.ts';
import { isNodeName } from '../protocol/parse.ts';
import { type Prefix, parsePrefix } from '../state/address.ts';
import type { FirewallOptions } from './firewall/firewall.ts';

export const agentOptions = [
  {
    name: 'controller',
    kind: 'list',
    placeholder: 'ws[s]://HOST:PORT[,...]',
    help: 'URLs of controllers; a name stands for all its addresses; required',
    check: (texts: readonly string[], where: string): void => checkUrls(texts, where),
  },
  {
    name: 'node',
    kind: 'text',
    placeholder: 'NAME',
    help: 'name of this node, in a cluster that of its Node; required',
    check: (texts: readonly string[], where: string): void => checkNode(texts, where),
  },
  {
    name: 'allow',
    kind: 'list',
    placeholder: 'CIDR[,CIDR...]',
    help: 'prefixes that VIPs may lie in; required, may be repeated',
    check: (texts: readonly string[], where: string): void => checkAllowed(texts, where),
  },
  {
    name: 'state',
    kind: 'text',
    default: '/var/lib/vipward',
    placeholder: 'DIR',
    help: 'folder of the last state',
  },
  {
    name: 'interface',
    kind: 'list',
    default: 'auto',
    placeholder: 'auto|IF[,IF...]',
    help: 'interfaces for VIPs; auto: the link that each VIP belongs to',
    check: (texts: readonly string[], where: string): void => checkInterfaces(texts, where),
  },
  {
    name: 'listen',
    kind: 'text',
    default: '127.0.0.1:9471',
    placeholder: 'HOST:PORT',
    help: 'address of status, metrics and health, without credentials',
    check: (texts: readonly string[], where: string): void => checkHostPort(texts, where),
  },
  {
    name: 'metrics-listen',
    kind: 'text',
    placeholder: 'HOST:PORT',
    help: 'address of metrics and health, without status',
    check: (texts: readonly string[], where: string): void => checkHostPort(texts, where),
  },
  {
    name: 'firewall',
    kind: 'choice',
    choices: ['auto', 'nftables', 'xtables'],
    default: 'auto',
    help: 'firewall of the kernel to use',
  },
  {
    name: 'filter',
    kind: 'choice',
    choices: ['enforce', 'observe'],
    default: 'enforce',
    help: 'drop packets that no Service declares, or only count them',
  },
  { name: 'echo', kind: 'choice', choices: ['on', 'off'], default: 'on', help: 'whether a VIP answers ping' },
  {
    name: 'first-claim',
    kind: 'choice',
    choices: ['ask', 'take'],
    default: 'ask',
    help: 'probe the link for an address that no node has held, or take it',
  },
  { name: 'counters', kind: 'flag', help: 'count accepted packets by port' },
  {
    name: 'table-owner',
    kind: 'choice',
    choices: ['on', 'off'],
    default: 'on',
    help: 'lock the nftables table against other processes, if the kernel can (6.9)',
  },
  {
    name: 'set-size',
    kind: 'count',
    placeholder: 'N',
    help: 'fixed size of every set, instead of growing sets',
    check: (texts: readonly string[], where: string): void => checkSetSize(texts, where),
  },
  {
    name: 'commit-interval',
    kind: 'duration',
    placeholder: 'DURATION',
    help: 'shortest time between commits after a burst; default 250ms, more beside many foreign rules',
  },
  { name: 'token-file', kind: 'text', placeholder: 'FILE', help: 'file of the token of this node' },
  { name: 'ca-file', kind: 'text', placeholder: 'FILE', help: 'PEM file of the CA of the controller' },
  { name: 'cert', kind: 'text', placeholder: 'FILE', help: 'PEM file of the certificate of this node' },
  { name: 'key', kind: 'text', placeholder: 'FILE', help: 'PEM file of its key' },
  {
    name: 'config',
    kind: 'text',
    placeholder: 'FILE',
    help: 'YAML with these flags as keys, read again on change and on SIGHUP',
  },
  {
    name: 'log-level',
    kind: 'choice',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    help: 'least severe level that is logged',
  },
] as const;

export type AgentValues = OptionValues<typeof agentOptions>;

export interface AgentConfig {
  readonly values: AgentValues;
  readonly node: string;
  readonly allow: readonly Prefix[];
  readonly listen: HostPort;
  readonly metricsListen: HostPort | undefined;
}

/** Throws UsageError, which names the flag and the expected value. */
export function agentConfig(values: AgentValues): AgentConfig {
  const { node, controller, allow } = values;
  if (controller.length === 0)
    throw new UsageError('--controller is missing: give ws://HOST:PORT of a controller');
  if (node === undefined) throw new UsageError(`--node is missing: ${nodeAdvice}`);
  if (allow.length === 0) throw new UsageError('--allow is missing: give the prefixes in which VIPs may lie');
  if ((values.cert === undefined) !== (values.key === undefined))
    throw new UsageError('--cert and --key belong together: give both or neither');
  return {
    values,
    node,
    allow: prefixesOf(allow, '--allow'),
    listen: parseHostPort(values.listen, '--listen'),
    metricsListen:
      values.metricsListen === undefined
        ? undefined
        : parseHostPort(values.metricsListen, '--metrics-listen'),
  };
}

export function firewallOptions(values: AgentValues): FirewallOptions {
  return {
    wish: values.firewall,
    observe: values.filter === 'observe',
    counters: values.counters,
    echo: values.echo === 'on',
    owner: values.tableOwner === 'on',
  };
}

function checkUrls(urls: readonly string[], where: string): void {
  const odd = urls.find((url) => !/^wss?:$/.test(URL.parse(url)?.protocol ?? ''));
  if (odd === undefined) return;
  const asStream = odd.replace(/^https:/i, 'wss:').replace(/^http:/i, 'ws:');
  const next = asStream === odd ? '' : `; give ${asStream}, which all commands take`;
  throw new UsageError(
    `${where}: expected ws://HOST:PORT or wss://HOST:PORT, got ${JSON.stringify(odd)}${next}`,
  );
}

const nodeAdvice = 'give the name of this node, in lower case as Kubernetes has it';

function checkNode([text = '']: readonly string[], where: string): void {
  if (isNodeName(text)) return;
  throw new UsageError(`${where}: ${nodeAdvice}, got ${JSON.stringify(text)}`);
}

/** Without a name no VIP has a place. */
function checkInterfaces(names: readonly string[], where: string): void {
  if (names.length === 0) throw new UsageError(`${where}: expected auto or names of interfaces, got nothing`);
}

/** The kernel allocates memory by the size of a set: far larger sizes end in ENOMEM. */
const mostElements = 10_000_000;

function checkSetSize([text = '']: readonly string[], where: string): void {
  if (Number(text) === 0) throw new UsageError(`${where}: give at least 1`);
  if (Number(text) > mostElements)
    throw new UsageError(`${where}: give at most ${mostElements}, got ${text}`);
}

function checkAllowed(texts: readonly string[], where: string): void {
  const { length } = prefixesOf(texts, where);
  if (length <= limits.ofNode) return;
  const most = `at most ${limits.ofNode} prefixes, got ${length}`;
  throw new UsageError(`${where}: expected ${most}; give shorter prefixes that hold them`);
}

function prefixesOf(texts: readonly string[], where: string): readonly Prefix[] {
  try {
    return texts.map((text) => parsePrefix(text));
  } catch (error) {
    throw new UsageError(`${where}: ${(error as Error).message}`, { cause: error });
  }
}
