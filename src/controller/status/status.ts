// The body of `/api/v1/status`, made on request: every VIP with its owner, state and reason, every Service on
// it, every node.

import type { Address } from '../../state/address.ts';
import type { ServiceKey } from '../../state/service.ts';
import type { Term } from '../../state/term.ts';
import type { PortRefusal } from '../compile.ts';
import type { Controller } from '../controller.ts';
import type { Node } from '../owners/node.ts';
import type { KeptRefusal } from '../owners/refusals.ts';
import type { MassRemoval } from '../readings/mass-removal.ts';
import { type Problem, RefusalReason, type ServiceManifest, type ServicePort } from '../service.ts';
import type { EndedStatus } from '../stream/closed-connections.ts';
import { type VipCondition, type VipState, vipState } from './vip-state.ts';

export interface ServiceStatus {
  readonly key: ServiceKey;
  /** The ports of the Service that are open on this VIP. */
  readonly ports: readonly ServicePort[];
  readonly state: 'serving' | 'pending' | 'refused';
  readonly reason: string;
  readonly message: string;
}

export interface VipStatus {
  readonly address: Address;
  readonly node: string | null;
  readonly term: Term | null;
  readonly state: VipState;
  readonly reason: string;
  readonly message: string;
  readonly filtered: boolean;
  readonly services: readonly ServiceStatus[];
}

export interface NodeStatus {
  readonly name: string;
  readonly connected: boolean;
  readonly drained: boolean;
  /** The node did not commit rules in time, and is given no VIP until it has. */
  readonly late: boolean;
  readonly firewall: string | null;
  readonly version: string | null;
  readonly vips: number;
  /** The version of the rules in its kernel; null before the first ack on this connection. */
  readonly seq: number | null;
  readonly lagMs: number | null;
  /** How its last ended stream ended; it may have a new one. */
  readonly lastClosed: EndedStatus | null;
  readonly refusals: readonly KeptRefusal[];
}

export interface RefusedService {
  readonly key: ServiceKey;
  readonly reason: string;
  readonly message: string;
}

/** The members of the status that only a controller in a cluster has. */
export interface ClusterRole {
  readonly role: 'active' | 'standby';
  readonly identity: string;
  /** The holder of the Lease and the address where agents reach it; null where unknown. */
  readonly leader: { readonly identity: string; readonly address: string | null } | null;
  /** Which lists have been read completely once. */
  readonly synced: Readonly<Record<string, boolean>>;
}

export interface Status extends Partial<Omit<ClusterRole, 'synced'>> {
  readonly cluster: string;
  readonly generation: number;
  readonly seq: number;
  /** The source was read completely once and accepted; from a cluster, which lists were read completely. */
  readonly synced: boolean | ClusterRole['synced'];
  readonly reason: string | null;
  readonly vips: readonly VipStatus[];
  readonly nodes: readonly NodeStatus[];
  /** Services that have no VIP. */
  readonly refused: readonly RefusedService[];
  readonly problems: readonly Problem[];
  readonly ignored: Readonly<Record<string, number>>;
  readonly massRemoval: MassRemoval | null;
  /** The last time a node reported a higher generation: the records may come from a backup. */
  readonly generationRaised: RaiseStatus | null;
  /** The last connections that were turned away, the latest last. */
  readonly refusedStreams: readonly EndedStatus[];
}

/** The part of the status that needs no pass over VIPs, nodes or Services. */
export type StatusHead = Omit<Status, 'vips' | 'nodes' | 'refused'>;

export interface RaiseStatus {
  readonly from: number;
  readonly to: number;
  /** The node that reported it. */
  readonly node: string;
  readonly secondsAgo: number;
}

/** Everything the status is made of. */
export interface StatusInput {
  readonly controller: Controller;
  readonly massRemoval: MassRemoval | null;
  readonly problems: readonly Problem[];
  readonly invalid: ReadonlyMap<ServiceKey, string>;
  readonly ignored: Readonly<Record<string, number>>;
  readonly reason: string | null;
  readonly role?: ClusterRole;
}

/** Every probe of a kubelet asks for this, so its cost does not depend on the number of VIPs. */
export function headOf(input: StatusInput): StatusHead {
  const { controller, massRemoval, problems, ignored, reason, role } = input;
  return {
    cluster: controller.cluster,
    generation: controller.generation,
    seq: controller.rules.seq,
    synced: controller.isPublished,
    ...role,
    reason: massRemoval === null ? reason : 'MassRemoval',
    problems,
    ignored,
    massRemoval,
    generationRaised: raiseStatus(controller),
    refusedStreams: controller.closedConnections.recent,
  };
}

export function statusOf(input: StatusInput): Status {
  const { vips, nodes, refused } = statusLists(input);
  return { ...headOf(input), vips: [...vips], nodes: [...nodes], refused: [...refused] };
}

/** The long lists; the entry of a VIP or a node is made when the iterator reaches it. */
export function statusLists({ controller, invalid }: StatusInput): {
  readonly vips: Iterable<VipStatus>;
  readonly nodes: Iterable<NodeStatus>;
  readonly refused: readonly RefusedService[];
} {
  const { rules, nodes, owners, allocator } = controller;
  const owned = new Map<string, number>();
  for (const { node } of owners.all.values()) owned.set(node, (owned.get(node) ?? 0) + 1);
  const refused: RefusedService[] = [];
  for (const [key, refusal] of allocator.refusals) refused.push({ key, ...refusal });
  for (const [key, message] of invalid) refused.push({ key, reason: RefusalReason.NotSupported, message });
  return {
    vips: rules.keys().map((address) => vipStatus(controller, address)),
    nodes: nodes.all().map((node) => nodeStatus(controller, node, owned.get(node.name) ?? 0)),
    refused,
  };
}

function raiseStatus({ terms: { lastRaise }, nowMs }: Controller): RaiseStatus | null {
  if (lastRaise === null) return null;
  const { from, to, node, atMs } = lastRaise;
  return { from, to, node, secondsAgo: Math.floor((nowMs() - atMs) / 1000) };
}

export function vipStatus(controller: Controller, address: Address): VipStatus {
  const vip = controller.rules.get(address);
  const owner = controller.owners.ownerOf(address);
  const { state, reason, message } = vipState(controller, address);
  const node = owner?.node ?? controller.owners.leaving.firstHolder(address);
  const users = controller.allocator.usersOf(address);
  const lost = Map.groupBy(controller.refusedPorts.get(address) ?? [], ({ service }) => service);
  return {
    address,
    node,
    term: owner?.term ?? null,
    state,
    reason,
    message,
    filtered: vip?.filtered ?? true,
    services: users.map((service) =>
      serviceStatus(service, lost.get(service.key) ?? [], { state, reason, message }),
    ),
  };
}

function serviceStatus(
  { key, ports: declared }: ServiceManifest,
  lost: readonly PortRefusal[],
  vip: VipCondition,
): ServiceStatus {
  const nameOf = ({ protocol, port }: ServicePort) => `${protocol} ${port}`;
  const names = new Set(lost.map(nameOf));
  const ports = declared.filter((port) => !names.has(nameOf(port)));
  const state =
    ports.length === 0 || vip.state === 'refused'
      ? 'refused'
      : vip.state === 'serving'
        ? 'serving'
        : 'pending';
  const [first, ...others] = lost;
  if (first === undefined) return { key, ports, state, reason: vip.reason, message: vip.message };
  const more = others.length === 0 ? '' : `; and ${others.length} more of its ports`;
  return { key, ports, state, reason: first.reason, message: `${first.message}${more}` };
}

function nodeStatus({ closedConnections, latency, rules }: Controller, node: Node, vips: number): NodeStatus {
  const { name, acked, hello, refusals } = node;
  // A node that is behind lags by the age of the first version it lacks, not by the latency of its last ack.
  const behindMs = acked.rules !== null && acked.rules < rules.seq ? latency.sinceMs(acked.rules + 1) : null;
  return {
    name,
    connected: node.isConnected,
    drained: node.isDrained,
    late: node.isLate,
    firewall: hello?.firewall ?? null,
    version: hello?.version ?? null,
    vips,
    seq: acked.rules,
    lagMs: behindMs ?? node.lagMs,
    lastClosed: closedConnections.lastOf(name),
    refusals: [...refusals.values()],
  };
}
