// The addresses of the demo and the probes of its client: every declared port, and undeclared ports that have
// a listener.

import { type Address, familyOf, parseAddress } from '../../state/address.ts';
import type { ControllerStatus } from '../status-json.ts';
import type { Forward } from './nat.ts';
import { admits, type Declared } from './services.ts';

/** A host of the demo, or a VIP, in both families. */
type Pair = readonly [ip4: Address, ip6: Address];

function pair(ip4: string, ip6: string): Pair {
  return [parseAddress(ip4), parseAddress(ip6)];
}

export const hosts: Readonly<Record<'node' | 'client' | 'gateway' | 'backend', ReturnType<typeof pair>>> = {
  node: pair('10.87.0.1', 'fd87::1'),
  client: pair('10.87.0.2', 'fd87::2'),
  gateway: pair('10.88.0.1', 'fd88::1'),
  backend: pair('10.88.0.2', 'fd88::2'),
};
export const prefixLengths = [24, 64] as const;
export const poolRanges = '10.87.0.16-10.87.0.79,fd87::16-fd87::79';
export const poolPrefixes = ['10.87.0.0/24', 'fd87::/64'] as const;

/** A listener on the node that no Service declares. */
const strayPort = 9999;
/** kube-proxy opens a NodePort on every address of the node, VIPs included. */
const nodePort = 30080;
/** The port that the live demo opens and closes. */
export const togglePort = 8443;
const backendPort = 8080;

export interface Endpoint {
  readonly address: Address;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
}

export interface Probe {
  readonly endpoint: Endpoint;
  /** The host that should answer; null if none should. */
  readonly expected: 'node' | 'backend' | null;
  readonly why: string;
}

export interface Plan {
  readonly probes: readonly Probe[];
  /** The listeners that the node needs for the probes. */
  readonly listeners: readonly Endpoint[];
  readonly forwards: readonly Forward[];
}

export function backendEndpoints(): readonly Endpoint[] {
  return hosts.backend.flatMap((address) => [
    { address, protocol: 'TCP', port: backendPort },
    { address, protocol: 'UDP', port: backendPort },
  ]);
}

/** The probes, from the controller's status of each VIP and the ports that the manifests declare. */
export function planOf(status: ControllerStatus, declared: ReadonlyMap<string, Declared>): Plan {
  const probes: Probe[] = [];
  const listeners: Endpoint[] = [];
  const forwards: Forward[] = [];
  for (const address of hosts.node) {
    const stray: Endpoint = { address, protocol: 'TCP', port: strayPort };
    listeners.push(stray);
    forwards.push(forward(address, 'TCP', nodePort));
    probes.push({ endpoint: stray, expected: 'node', why: 'no VIP' });
    const endpoint: Endpoint = { address, protocol: 'TCP', port: nodePort };
    probes.push({ endpoint, expected: 'backend', why: 'no VIP' });
  }
  for (const { address: text, filtered = true, services } of status.vips) {
    const address = parseAddress(text);
    const open = services.flatMap(({ key, ports }) => declaredProbes(address, ports, declared.get(key)));
    probes.push(...open);
    for (const { endpoint, expected } of open) {
      if (expected === 'backend' && endpoint.protocol !== 'SCTP')
        forwards.push(forward(address, endpoint.protocol, endpoint.port));
      else listeners.push(endpoint);
    }
    forwards.push(forward(address, 'TCP', nodePort));
    // Each SCTP listener is a raw socket, and a process can have only so many.
    const hasSctp = open.some(({ endpoint }) => endpoint.protocol === 'SCTP');
    for (const [protocol, port] of [
      ['TCP', strayPort],
      ['UDP', strayPort],
      ['TCP', togglePort],
      ...(hasSctp ? [['SCTP', strayPort] as const] : []),
    ] as const) {
      const endpoint = { address, protocol, port };
      if (open.some((probe) => isSame(probe.endpoint, endpoint))) continue;
      listeners.push(endpoint);
      probes.push({ endpoint, expected: filtered ? null : 'node', why: 'undeclared' });
    }
    const endpoint: Endpoint = { address, protocol: 'TCP', port: nodePort };
    if (open.some((probe) => isSame(probe.endpoint, endpoint))) continue;
    probes.push({ endpoint, expected: filtered ? null : 'backend', why: 'NodePort' });
  }
  return { probes, listeners, forwards };
}

/** The demo forwards no SCTP, so it does not probe declared SCTP ports of a backend. */
function declaredProbes(
  address: Address,
  ports: ControllerStatus['vips'][number]['services'][number]['ports'],
  { isForwarded, ranges }: Declared = { isForwarded: false, ranges: [] },
): Probe[] {
  const client = hosts.client[familyOf(address) === 4 ? 0 : 1];
  return ports.flatMap(({ protocol, port }): Probe[] => {
    if (protocol !== 'TCP' && protocol !== 'UDP' && (protocol !== 'SCTP' || isForwarded)) return [];
    const endpoint = { address, protocol, port } as const;
    if (!admits(ranges, client)) return [{ endpoint, expected: null, why: 'not from here' }];
    return [{ endpoint, expected: isForwarded ? 'backend' : 'node', why: 'declared' }];
  });
}

function forward(address: Address, protocol: 'TCP' | 'UDP', port: number): Forward {
  const to = hosts.backend[familyOf(address) === 4 ? 0 : 1];
  return { address, protocol, port, to, toPort: backendPort };
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return a.address === b.address && a.protocol === b.protocol && a.port === b.port;
}
