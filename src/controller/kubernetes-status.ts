// What a controller in a cluster tells of itself in its status and to agents.

import type { Controller } from './controller.ts';
import type { ClusterIdentity } from './kubernetes-identity.ts';
import type { Readings } from './readings/readings.ts';
import { problemAt } from './service.ts';
import type { ClusterWriter } from './sources/kubernetes/cluster-writer.ts';
import type { KubernetesConfig } from './sources/kubernetes/config.ts';
import type { Elector } from './sources/kubernetes/elector.ts';
import type { KubernetesSource } from './sources/kubernetes/source.ts';
import type { ClusterRole, StatusInput } from './status/status.ts';
import type { Self } from './stream/welcome.ts';

export interface StatusParts {
  readonly controller: Controller;
  readonly source: KubernetesSource;
  readonly readings: Readings;
  readonly elector: Elector;
  readonly clusterWriter: Pick<ClusterWriter, 'problems' | 'writes'>;
  readonly identity: ClusterIdentity;
  readonly given: KubernetesConfig;
}

/** A standby tells its cluster, and the generation of the ruling controller as far as it knows. */
export function selfOf({
  controller,
  source,
  readings,
  elector,
}: Pick<StatusParts, 'controller' | 'source' | 'readings' | 'elector'>): Omit<Self, 'version'> {
  const { wasReadWhole: ruling } = readings;
  const { cluster, generation } = ruling
    ? controller
    : { cluster: source.cluster ?? '', generation: elector.record?.generation ?? 0 };
  return { cluster, generation, ruling };
}

export function statusInputOf({
  controller,
  source,
  readings,
  elector,
  clusterWriter,
  identity,
  given,
}: StatusParts): StatusInput {
  const { catalog } = source;
  const { record } = elector;
  const isActive = elector.rules();
  const role: ClusterRole = {
    role: isActive ? 'active' : 'standby',
    identity: given.identity,
    leader:
      record === null || record.holder === '' ? null : { identity: record.holder, address: record.address },
    synced: { ...source.synced },
  };
  const lease = problemAt(given.lease.name, elector.problem);
  const refused = [...clusterWriter.writes.refused].flatMap(([name, message]) => problemAt(name, message));
  return {
    controller,
    massRemoval: readings.massRemoval,
    role,
    problems: [
      ...lease,
      ...source.problems(),
      ...clusterWriter.problems(),
      ...refused,
      ...identity.problems(),
    ],
    invalid: catalog.invalid,
    ignored: catalog.ignored(),
    reason: controller.isPublished ? null : source.isComplete && !isActive ? 'Standby' : 'NotComplete',
  };
}
