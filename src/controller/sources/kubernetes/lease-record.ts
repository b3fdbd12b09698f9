// The Lease by which one controller rules: what its record means, and what to do about it. Pure; the clock is
// a parameter. `leaseTransitions` is the generation of all terms.

import { type Mapping, mapping, textAt, wholeAt } from '../fields.ts';

/** Where others find the ruling controller, as --advertise has it. */
export const addressAnnotation = 'vipward.io/address';

export interface LeaseRecord {
  readonly holder: string;
  readonly generation: number;
  readonly durationMs: number;
  readonly renewTime: string;
  readonly address: string | null;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** A record, and when by our own clock it was first seen like this: no other clock is trusted. */
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
  /** Another one took it, or a second process of our name did: what we know is not the last word any more. */
  | { readonly kind: 'deposed' };

/** Reads a Lease of coordination.k8s.io/v1. Fields that are absent are those of a Lease nobody holds. */
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

/** What was seen before, brought up to date: the same record again keeps the time it was first seen. */
export function seeLease(before: SeenLease | null, record: LeaseRecord, nowMs: number): SeenLease {
  const isSame = before !== null && before.record.resourceVersion === record.resourceVersion;
  return isSame ? before : { record, sinceMs: nowMs };
}

/**
 * True if a Lease is older than it was before, which only a backup of etcd makes it. The clock of whoever
 * writes it may have been put back too: to be wrong about that costs a list and no more.
 */
export function wentBack(before: LeaseRecord, now: LeaseRecord): boolean {
  if (now.generation !== before.generation) return now.generation < before.generation;
  return now.holder === before.holder && Date.parse(now.renewTime) < Date.parse(before.renewTime);
}

/** What to do about the Lease; `null` is a Lease that does not exist. */
export function nextStep(seen: SeenLease | null, self: LeaseSelf, nowMs: number): LeaseStep {
  const { generation, known } = self;
  if (seen === null) {
    // Somebody may have deleted it: who held it goes on, and who takes it is above all that he has read of.
    return generation === null ? { kind: 'take', generation: known + 1 } : { kind: 'renew', generation };
  }
  const { record, sinceMs } = seen;
  if (generation !== null) {
    // Who has read ours rules after us by a higher one. One below it came back with a backup of etcd, or was
    // begun after the Lease was deleted by somebody who had read none: no agent that obeyed us obeys that.
    const isOlder = record.generation < generation;
    const isOurs = record.generation === generation && ['', self.identity].includes(record.holder);
    return isOlder || isOurs ? { kind: 'renew', generation } : { kind: 'deposed' };
  }
  // A process that died under our name will not renew it; each process rules by a generation of its own.
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
  /** The Lease to write over; null to make one. */
  readonly before: Pick<LeaseRecord, 'uid' | 'resourceVersion'> | null;
}

/** The Lease to write. An empty identity gives it away. */
export function leaseObject({ namespace, name, self, generation, ...more }: LeaseText): object {
  const { wallMs, takenWallMs, before } = more;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      ...{ namespace, name },
      // Without its UID a PUT would make one where there is none, as in a cluster that is another by now.
      ...(before === null ? {} : { uid: before.uid, resourceVersion: before.resourceVersion }),
      annotations: self.address === null ? {} : { [addressAnnotation]: self.address },
    },
    spec: {
      holderIdentity: self.identity,
      // Whole seconds is all the field takes: rounded up, so that nobody takes it early.
      leaseDurationSeconds: Math.max(1, Math.ceil(self.durationMs / 1000)),
      acquireTime: microTime(takenWallMs),
      renewTime: microTime(wallMs),
      leaseTransitions: generation,
    },
  };
}

/** A MicroTime: with exactly six digits of fraction, anything else is refused with 400. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('Z', '000Z');
}
