// What `/api/v1/status` says: every VIP with its owner, state and why, every Service on it, every node. Made
// when asked.

import type { TableName } from '../protocol/messages.ts';
import type { Address } from '../state/address.ts';
import type { ServiceKey } from '../state/service.ts';
import type { Term } from '../state/term.ts';
import type { PortRefusal } from './compile.ts';
import type { Controller } from './controller.ts';
import type { Node } from './nodes.ts';
import type { MassRemoval } from './readings.ts';
import type { Problem, ServiceManifest, ServicePort } from './service.ts';

export const VipState = {
  pending: 'pending',
  serving: 'serving',
  moving: 'moving',
  unowned: 'unowned',
  refused: 'refused',
  released: 'released',
} as const;
export type VipState = (typeof VipState)[keyof typeof VipState];

export interface ServiceStatus {
  readonly key: ServiceKey;
  /** The ports that are open for it on this VIP. */
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
  readonly firewall: string | null;
  readonly version: string | null;
  readonly vips: number;
  /** The version of the rules that its kernel has; null if it has not said so on this connection. */
  readonly seq: number | null;
  readonly lagMs: number | null;
  readonly refusals: readonly {
    readonly table: TableName;
    readonly key: Address;
    readonly code: string;
    readonly reason: string;
  }[];
}

export interface RefusedService {
  readonly key: ServiceKey;
  readonly reason: string;
  readonly message: string;
}

/** What is said of a controller in a cluster, beside the rest. */
export interface ClusterRole {
  readonly role: 'active' | 'standby';
  readonly identity: string;
  /** Who holds the Lease and where agents reach it, as far as it is known. */
  readonly leader: { readonly identity: string; readonly address: string | null } | null;
  /** Which lists were read to their end once. */
  readonly synced: Readonly<Record<string, boolean>>;
}

export interface Status extends Partial<Omit<ClusterRole, 'synced'>> {
  readonly cluster: string;
  readonly generation: number;
  readonly seq: number;
  /** The source was read whole once, and believed; from a cluster, which lists were read to their end. */
  readonly synced: boolean | ClusterRole['synced'];
  readonly reason: string | null;
  readonly vips: readonly VipStatus[];
  readonly nodes: readonly NodeStatus[];
  /** Services that have no VIP. */
  readonly refused: readonly RefusedService[];
  readonly problems: readonly Problem[];
  readonly ignored: Readonly<Record<string, number>>;
  readonly massRemoval: MassRemoval | null;
}

/** What the status needs beside the controller. */
export interface StatusInput {
  readonly controller: Controller;
  readonly massRemoval: MassRemoval | null;
  readonly problems: readonly Problem[];
  readonly invalid: ReadonlyMap<ServiceKey, string>;
  readonly ignored: Readonly<Record<string, number>>;
  readonly reason: string | null;
  readonly role?: ClusterRole;
}

export function statusOf(input: StatusInput): Status {
  const { controller, massRemoval, problems, invalid, ignored, reason, role } = input;
  const refused: RefusedService[] = [];
  for (const [key, refusal] of controller.allocator.refusals) refused.push({ key, ...refusal });
  for (const [key, message] of invalid) refused.push({ key, reason: 'NotSupported', message });
  return {
    cluster: controller.cluster,
    generation: controller.generation,
    seq: controller.rules.seq,
    synced: controller.isPublished,
    ...role,
    reason: massRemoval === null ? reason : 'MassRemoval',
    vips: [...controller.rules.keys()].map((address) => vipStatus(controller, address)),
    nodes: [...controller.nodes.all()].map((node) => nodeStatus(controller, node)),
    refused,
    problems,
    ignored,
    massRemoval,
  };
}

export function vipStatus(controller: Controller, address: Address): VipStatus {
  const vip = controller.rules.get(address);
  const owner = controller.owners.ownerOf(address);
  const { state, reason, message } = vipState(controller, address);
  const node = owner?.node ?? controller.owners.leavingFrom(address);
  const users = controller.allocator.usersOf(address);
  const refusals = controller.refusedPorts.get(address) ?? [];
  return {
    address,
    node,
    term: owner?.term ?? null,
    state,
    reason,
    message,
    filtered: vip?.filtered ?? true,
    services: users.map((service) => serviceStatus(service, refusals, { state, reason, message })),
  };
}

interface Standing {
  readonly state: VipState;
  readonly reason: string;
  readonly message: string;
}

/** Where a VIP stands, from what its node has said. */
export function vipState(controller: Controller, address: Address): Standing {
  const { owners, nodes, rules } = controller;
  if (owners.isLeaving(address)) {
    return { state: 'released', reason: 'Released', message: 'no Service wants it; its node is letting go' };
  }
  const owner = owners.ownerOf(address);
  if (owner === undefined) return unplaced(controller, address);
  const node = nodes.at(owner.node);
  if (owners.moves.has(address)) {
    return { state: 'moving', reason: 'Moved', message: `${owner.node} is taking it over` };
  }
  if (!node.isConnected) {
    const message = `${owner.node} is not connected and keeps it: vipward move ${address} NODE`;
    return { state: 'unowned', reason: 'NoEligibleNode', message };
  }
  const refusal = node.refusalOf(address);
  const isHeld = node.held.has(address);
  if (refusal !== undefined && !isHeld)
    return { state: 'refused', reason: refusal.code, message: refusal.reason };
  const since = rules.sinceSeq(address);
  if (isHeld && since !== undefined && node.hasAcked('rules', since)) {
    const message =
      refusal === undefined ? '' : `the last change was refused: ${refusal.code}: ${refusal.reason}`;
    return { state: 'serving', reason: refusal === undefined ? 'Announced' : refusal.code, message };
  }
  return { state: 'pending', reason: 'Allocated', message: `${owner.node} has not announced it yet` };
}

function unplaced(controller: Controller, address: Address): Standing {
  const chosen = controller.owners.chosenFor(address);
  if (chosen !== null) {
    return { state: 'pending', reason: 'Allocated', message: `${chosen} is committing its rules` };
  }
  for (const node of controller.nodes.connected()) {
    if (node.impossible.has(address)) {
      const message = `${node.name} claims it by a term that was never issued, and nobody else can have it`;
      return { state: 'pending', reason: 'ImpossibleTerm', message };
    }
    const refusal = node.refusalOf(address);
    if (refusal !== undefined) return { state: 'refused', reason: refusal.code, message: refusal.reason };
  }
  const message = 'no connected node has it on its link and in its --allow, and is not drained';
  return { state: 'pending', reason: 'NoEligibleNode', message };
}

function serviceStatus(
  service: ServiceManifest,
  refusals: readonly PortRefusal[],
  vip: Standing,
): ServiceStatus {
  const { key } = service;
  const mine = refusals.filter((refusal) => refusal.service === key);
  const isLost = ({ protocol, port }: ServicePort) => {
    return mine.some((refusal) => refusal.protocol === protocol && refusal.port === port);
  };
  const ports = service.ports.filter((port) => !isLost(port));
  const [first] = mine;
  const state =
    ports.length === 0 || vip.state === 'refused'
      ? 'refused'
      : vip.state === 'serving'
        ? 'serving'
        : 'pending';
  return { key, ports, state, reason: first?.reason ?? vip.reason, message: first?.message ?? vip.message };
}

function nodeStatus({ latency, owners, rules }: Controller, node: Node): NodeStatus {
  const { name, acked, hello, refusals } = node;
  let vips = 0;
  for (const owner of owners.all.values()) if (owner.node === name) vips++;
  // A node that is behind lags by the age of what it lacks, not by what it last took.
  const behindMs = acked.rules !== null && acked.rules < rules.seq ? latency.sinceMs(acked.rules + 1) : null;
  return {
    name,
    connected: node.isConnected,
    drained: node.isDrained,
    firewall: hello?.firewall ?? null,
    version: hello?.version ?? null,
    vips,
    seq: acked.rules,
    lagMs: behindMs ?? node.lagMs,
    refusals: [...refusals.values()].map(({ table, key, code, reason }) => ({ table, key, code, reason })),
  };
}
