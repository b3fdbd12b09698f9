// The Lease of the ruling controller: its record, and the next step to take. Pure; the clock is a parameter.
// `leaseTransitions` is the generation of all terms.

import { type Mapping, mapping, textAt, wholeAt } from '../fields.ts';

/** Annotation with the address of the ruling controller, from --advertise. */
const addressAnnotation = 'vipward.io/address';

export interface LeaseRecord {
  readonly holder: string;
  readonly generation: number;
  readonly durationMs: number;
  readonly renewTime: string;
  readonly address: string | null;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** A record and the time when it was first seen, by this machine's clock: no other clock is trusted. */
export interface SeenLease {
  readonly record: LeaseRecord;
  readonly sinceMs: number;
}

export interface LeaseSelf {
  readonly identity: string;
  readonly address: string | null;
  readonly durationMs: number;
  /** The generation this process rules by, or null while it does not. */
  readonly generation: number | null;
  /** The highest generation it has read in the Lease; 0 while it has read none. */
  readonly known: number;
}

export type LeaseStep =
  | { readonly kind: 'take'; readonly generation: number }
  | { readonly kind: 'renew'; readonly generation: number }
  | { readonly kind: 'wait' }
  /** Another process took the Lease, perhaps under the same identity: this process has lost it. */
  | { readonly kind: 'deposed' };

/**
 * Reads a Lease of coordination.k8s.io/v1. Absent fields mean a Lease without a holder. Throws FieldError.
 */
export function readLease(value: unknown): LeaseRecord {
  const lease = mapping(value, 'lease');
  const metadata = mapping(lease['metadata'] ?? {}, 'metadata');
  const annotations = mapping(metadata['annotations'] ?? {}, 'metadata.annotations');
  const spec: Mapping = mapping(lease['spec'] ?? {}, 'spec');
  const address = annotations[addressAnnotation];
  return {
    holder: textAt(spec['holderIdentity'] ?? '', 'spec.holderIdentity'),
    generation: wholeAt(spec['leaseTransitions'] ?? 0, 'spec.leaseTransitions'),
    durationMs: wholeAt(spec['leaseDurationSeconds'] ?? 0, 'spec.leaseDurationSeconds') * 1000,
    renewTime: textAt(spec['renewTime'] ?? '', 'spec.renewTime'),
    address: typeof address === 'string' ? address : null,
    uid: textAt(metadata['uid'] ?? '', 'metadata.uid'),
    resourceVersion: textAt(metadata['resourceVersion'] ?? '', 'metadata.resourceVersion'),
  };
}

/** The Lease as seen now: an unchanged record keeps the time when it was first seen. */
export function seeLease(before: SeenLease | null, record: LeaseRecord, nowMs: number): SeenLease {
  const isSame = before !== null && before.record.resourceVersion === record.resourceVersion;
  return isSame ? before : { record, sinceMs: nowMs };
}

/**
 * True if a Lease is older than before, as after a restore of etcd. The holder's clock may have been put back
 * instead: that mistake costs a list and no more.
 */
export function wentBack(before: LeaseRecord, now: LeaseRecord): boolean {
  if (now.generation !== before.generation) return now.generation < before.generation;
  return now.holder === before.holder && Date.parse(now.renewTime) < Date.parse(before.renewTime);
}

/** The next step about the Lease; `null` is a Lease that does not exist. */
export function nextStep(seen: SeenLease | null, self: LeaseSelf, nowMs: number): LeaseStep {
  const { generation, known } = self;
  if (seen === null) {
    // The Lease may have been deleted: its holder goes on, and a new holder exceeds every generation it has
    // read.
    return generation === null ? { kind: 'take', generation: known + 1 } : { kind: 'renew', generation };
  }
  const { record, sinceMs } = seen;
  if (generation !== null) {
    // A successor that has read our generation takes a higher one. A lower one comes from a backup of etcd,
    // or from a process that found the Lease deleted and had read none: agents that obeyed us do not obey it.
    const isOlder = record.generation < generation;
    const isOurs = record.generation === generation && ['', self.identity].includes(record.holder);
    return isOlder || isOurs ? { kind: 'renew', generation } : { kind: 'deposed' };
  }
  // A process that died under our identity will not renew it; each process rules by its own generation.
  const isFree = record.holder === '' || record.holder === self.identity;
  const isOver = nowMs - sinceMs >= record.durationMs;
  const next = Math.max(record.generation, known) + 1;
  return isFree || isOver ? { kind: 'take', generation: next } : { kind: 'wait' };
}

export interface LeaseText {
  readonly namespace: string;
  readonly name: string;
  readonly self: LeaseSelf;
  readonly generation: number;
  readonly wallMs: number;
  /** When this process took it, for `acquireTime`. */
  readonly takenWallMs: number;
  /** The Lease to replace; null to create one. */
  readonly before: Pick<LeaseRecord, 'uid' | 'resourceVersion'> | null;
}

/** The Lease to write. An empty identity releases it. */
export function leaseObject({ namespace, name, self, generation, ...more }: LeaseText): object {
  const { wallMs, takenWallMs, before } = more;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      namespace,
      name,
      // Without its UID a PUT would create the Lease where there is none, as in another cluster.
      ...(before === null ? {} : { uid: before.uid, resourceVersion: before.resourceVersion }),
      annotations: self.address === null ? {} : { [addressAnnotation]: self.address },
    },
    spec: {
      holderIdentity: self.identity,
      // The field takes whole seconds: rounded up, so that no controller takes the Lease early.
      leaseDurationSeconds: Math.max(1, Math.ceil(self.durationMs / 1000)),
      acquireTime: microTime(takenWallMs),
      renewTime: microTime(wallMs),
      leaseTransitions: generation,
    },
  };
}

/** A MicroTime: the API server refuses anything but six digits of fraction with 400. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('Z', '000Z');
}
