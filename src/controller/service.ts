// A Service as the controller needs it, whatever its source: the value between sources/ and allocate.ts.

import type { Address, Family, Prefix } from '../state/address.ts';
import type { Port, Protocol } from '../state/port.ts';
import type { Delivery, ServiceKey } from '../state/service.ts';

/** Why a Service or one of its ports is not served. `status` and Events use these words. */
export const RefusalReason = {
  PoolExhausted: 'PoolExhausted',
  OutsidePool: 'OutsidePool',
  AddressTaken: 'AddressTaken',
  PortTaken: 'PortTaken',
  NoPorts: 'NoPorts',
  NotSupported: 'NotSupported',
  Forbidden: 'Forbidden',
} as const;
export type RefusalReason = (typeof RefusalReason)[keyof typeof RefusalReason];

export interface ServiceRefusal {
  readonly reason: RefusalReason;
  /** What is wrong and what to do. */
  readonly message: string;
}

export interface ServicePort {
  readonly protocol: Protocol;
  readonly port: Port;
}

/** How many addresses of which families, from `ipFamilies` and `ipFamilyPolicy`. */
export interface FamilyWish {
  /** Empty if the Service names none. */
  readonly families: readonly Family[];
  readonly policy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack' | null;
}

export interface ServiceManifest {
  readonly key: ServiceKey;
  readonly namespace: string;
  /** creationTimestamp in milliseconds; Infinity without one, so that Services of known age come first. */
  readonly createdMs: number;
  /** Addresses the Service had before this controller started, if the source records them. */
  readonly recorded?: readonly Address[];
  /** Addresses asked for; empty leaves the choice to the pool. */
  readonly addresses: readonly Address[];
  readonly pool: string | null;
  readonly sharingKey: string | null;
  readonly wish: FamilyWish;
  readonly ports: readonly ServicePort[];
  readonly sources: readonly Prefix[] | null;
  readonly delivery: Delivery;
  readonly egress: boolean;
  /** Null where the Service does not say. */
  readonly onlyServicePorts: boolean | null;
  readonly trafficPolicy: 'Cluster' | 'Local';
  /** What of the annotations is ignored, if anything: the Service is served without it. */
  readonly unfollowed?: string;
  /** Set if the Service can be read but not served. */
  readonly refusal: ServiceRefusal | null;
}

/** The Services that are new or changed, and the keys of those that are gone. */
export interface ServiceChanges {
  readonly set: readonly ServiceManifest[];
  readonly remove: readonly ServiceKey[];
}

/** A change of Services, or of the outgoing addresses that they have. */
export interface AllocationChanges extends ServiceChanges {
  /** Addresses that Services let go of, as their replacements are served. */
  readonly gone?: ReadonlyMap<ServiceKey, readonly Address[]>;
}

/** Orders Services that compete for an address or port: creationTimestamp, then name. */
export function compareServices(a: ServiceManifest, b: ServiceManifest): number {
  if (a.createdMs !== b.createdMs) return a.createdMs < b.createdMs ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** True if both declare one port: on one VIP only one of them can have it. */
export function haveOnePort(a: ServiceManifest, b: ServiceManifest): boolean {
  return a.ports.some(({ port, protocol }) => {
    return b.ports.some((other) => other.port === port && other.protocol === protocol);
  });
}

/** True if the Service's new manifest may change its addresses or refuse it. */
export function asksOtherwise(before: ServiceManifest, now: ServiceManifest): boolean {
  const asked = ({ addresses, pool, sharingKey, wish, refusal }: ServiceManifest) =>
    JSON.stringify([addresses, pool, sharingKey, wish, refusal]);
  return before !== now && asked(before) !== asked(now);
}

/** A part of a source that cannot be used. */
export interface Problem {
  readonly file: string;
  /** Counted from 0; null means the whole file. */
  readonly document: number | null;
  readonly service: ServiceKey | null;
  readonly message: string;
}

/** The problem of a whole file or resource, or none. */
export function problemAt(file: string, message: string | null): Problem[] {
  return message === null ? [] : [{ file, document: null, service: null, message }];
}

/** The Services that a source has read so far. */
export interface SourceReading {
  readonly services: ReadonlyMap<ServiceKey, ServiceManifest>;
  readonly invalid: ReadonlyMap<ServiceKey, string>;
}
