// Reads from a Node whether it may have VIPs, and why not. Pure.

import { FieldError, type Mapping, mapping, sequence } from '../fields.ts';

export const nodesPath = '/api/v1/nodes';

/** Why a node may have no VIP, or null. */
export type NodeEntry = string | null;

const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';
const drainLabel = 'vipward.io/drain';
/** Taints of nodes that are gone or leaving: a cordon is not among them. */
const leavingTaints: ReadonlySet<string> = new Set([
  'node.kubernetes.io/out-of-service',
  'node.cloudprovider.kubernetes.io/shutdown',
  'ToBeDeletedByClusterAutoscaler',
]);

/** Cuts a Node to the part that is kept. A malformed Node keeps its VIPs. */
export function cutNode(object: Mapping, rules: NodeRules): NodeEntry {
  try {
    return whyBarred(object, rules);
  } catch (error) {
    if (error instanceof FieldError) return null;
    throw error;
  }
}

export interface NodeRules {
  /** Ignores the label that excludes a node from load balancers. */
  readonly ignoresExclude: boolean;
}

function whyBarred(object: Mapping, { ignoresExclude }: NodeRules): NodeEntry {
  const { labels } = mapping(object['metadata'] ?? {}, 'metadata');
  const { taints } = mapping(object['spec'] ?? {}, 'spec');
  const names = Object.keys(mapping(labels ?? {}, 'metadata.labels'));
  if (!ignoresExclude && names.includes(excludeLabel)) {
    return `label ${excludeLabel} excludes it; --ignore-exclude-label lifts that`;
  }
  if (names.includes(drainLabel)) return `label ${drainLabel} drains it`;
  for (const taint of sequence(taints, 'spec.taints')) {
    const { key } = mapping(taint, 'spec.taints[]');
    if (typeof key === 'string' && leavingTaints.has(key)) return `taint ${key}`;
  }
  return null;
}
