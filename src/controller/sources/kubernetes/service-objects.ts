// The accepted Services of a cluster, updated as objects come, change and go. Pure; an object that becomes
// invalid stays as it was when it was last valid.

import type { Address } from '../../../state/address.ts';
import { namesOf, parseServiceKey, type ServiceKey, ServiceKeyError } from '../../../state/service.ts';
import {
  type Problem,
  RefusalReason,
  type ServiceChanges,
  type ServiceManifest,
  type ServiceRefusal,
} from '../../service.ts';
import { FieldError, type Mapping, mapping } from '../fields.ts';
import { type ManifestRules, readDocument } from '../manifest.ts';
import type { ObjectChanges } from './list-watch.ts';
import { partialServices } from './partial-service.ts';

/** The kept part of a Service: its manifest, why it is invalid, or why it is none of ours. */
export type ServiceEntry =
  | {
      readonly kind: 'service';
      readonly service: ServiceManifest;
      readonly uid: string;
      /** The part that could not be read and was left out. */
      readonly wrong: string | null;
    }
  | { readonly kind: 'invalid'; readonly message: string }
  | { readonly kind: 'ignored'; readonly as: string };

/**
 * Cuts an API object to the part that is kept. No object can keep a controller from ruling: a part that
 * cannot be read is left out (partial-service.ts), rather than the Service.
 */
export function cutService(
  object: Mapping,
  rules: ManifestRules,
  mayOptOut: (namespace: string) => boolean,
): ServiceEntry {
  const entry = cut(object, rules, mayOptOut);
  if (entry.kind !== 'invalid') return entry;
  for (const { object: less, isClosed } of partialServices(object)) {
    const read = cut(less, rules, mayOptOut);
    if (read.kind !== 'service') continue;
    // A VIP without the filter is open to all: a manifest that cannot be read in full never gets that.
    const filtered = { ...read.service, onlyServicePorts: true };
    const service = isClosed ? { ...filtered, sources: [] } : filtered;
    return { ...read, service, wrong: entry.message };
  }
  return entry;
}

function cut(object: Mapping, rules: ManifestRules, mayOptOut: (namespace: string) => boolean): ServiceEntry {
  try {
    // The items of a list have no kind of their own.
    const facts = readDocument({ ...object, kind: 'Service', apiVersion: 'v1' }, rules);
    const [service] = facts.services;
    const { uid } = mapping(object['metadata'], 'metadata');
    if (service !== undefined) {
      const refusal = service.refusal ?? (mayOptOut(service.namespace) ? null : mayNotOptOut(service));
      const kept = refusal === service.refusal ? service : { ...service, refusal };
      return { kind: 'service', service: kept, uid: String(uid ?? ''), wrong: null };
    }
    const [invalid] = facts.invalid;
    if (invalid !== undefined) return { kind: 'invalid', message: invalid.message };
    return { kind: 'ignored', as: facts.ignored[0] ?? 'Service' };
  } catch (error) {
    if (error instanceof FieldError || error instanceof ServiceKeyError) {
      return { kind: 'invalid', message: error.message };
    }
    throw error;
  }
}

/**
 * Without this, any user could open a VIP to every port, or expose a listener of the node that is meant for
 * the node's own addresses alone.
 */
function mayNotOptOut({ namespace, onlyServicePorts, delivery }: ServiceManifest): ServiceRefusal | null {
  const what =
    onlyServicePorts === false
      ? 'it opts out of the filter'
      : delivery === 'host'
        ? 'it opens its ports to listeners of the node (vipward.io/delivery: host)'
        : null;
  if (what === null) return null;
  const message = `${what}, which --allow-opt-out forbids to namespace ${namespace}`;
  return { reason: RefusalReason.Forbidden, message };
}

/** The API path of a Service. */
export function servicePath(key: ServiceKey): string {
  const { namespace, name } = namesOf(key);
  return `/api/v1/namespaces/${namespace}/services/${name}`;
}

export class ServiceObjects {
  readonly services: ReadonlyMap<ServiceKey, ServiceManifest>;
  /** Services that are invalid, and have not been valid since the start. */
  readonly invalid: Map<ServiceKey, string> = new Map();
  readonly #services = new Map<ServiceKey, ServiceManifest>();
  /** Why a Service is invalid or not followed in full. */
  readonly #otherwise = new Map<ServiceKey, string>();
  readonly #ignored = new Map<ServiceKey, string>();
  /** Services that have never been valid, and are served without their invalid part. */
  readonly #lessened = new Set<ServiceKey>();
  readonly #uids = new Map<ServiceKey, string>();
  readonly #local = new Set<ServiceKey>();
  /** The addresses in a status that changed since its Service was read. */
  readonly #recorded = new Map<ServiceKey, readonly Address[]>();

  constructor() {
    this.services = this.#services;
  }

  /** True if a Service has externalTrafficPolicy: Local. */
  get hasLocal(): boolean {
    return this.#local.size > 0;
  }

  /** The UID, which differs from that of an earlier Service of the same name; empty if unknown. */
  uidOf(key: ServiceKey): string {
    return this.#uids.get(key) ?? '';
  }

  /** The addresses in the status of a Service. */
  recordedOf(key: ServiceKey): readonly Address[] {
    return this.#recorded.get(key) ?? this.#services.get(key)?.recorded ?? [];
  }

  /** Why a Service differs from its object, if it does. */
  whyOtherwise(key: ServiceKey): string | undefined {
    return this.#otherwise.get(key);
  }

  /** Applies changes and returns those that matter. */
  apply({ set, remove }: ObjectChanges<ServiceEntry>): ServiceChanges {
    const changes: { set: ServiceManifest[]; remove: ServiceKey[] } = { set: [], remove: [] };
    for (const name of remove) this.#drop(parseServiceKey(name), changes);
    for (const [name, entry] of set) this.#set(parseServiceKey(name), entry, changes);
    return changes;
  }

  /** Problems of Services, with the API path of each object. */
  problems(): Problem[] {
    return [...this.#otherwise].map(([service, message]) => {
      return { file: servicePath(service), document: null, service, message };
    });
  }

  /** The number of Services that are none of ours, by reason. */
  ignored(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const as of this.#ignored.values()) counts[as] = (counts[as] ?? 0) + 1;
    return counts;
  }

  #set(
    key: ServiceKey,
    entry: ServiceEntry,
    changes: { set: ServiceManifest[]; remove: ServiceKey[] },
  ): void {
    if (entry.kind === 'ignored') {
      this.#drop(key, changes);
      this.#ignored.set(key, entry.as);
      return;
    }
    this.#ignored.delete(key);
    const known = this.#services.get(key);
    const wrong = entry.kind === 'invalid' ? entry.message : entry.wrong;
    const otherwise = wrong ?? (entry.kind === 'service' ? entry.service.unfollowed : undefined);
    if (otherwise === undefined) this.#otherwise.delete(key);
    else this.#otherwise.set(key, otherwise);
    if (entry.kind === 'invalid') {
      if (known === undefined) this.invalid.set(key, entry.message);
      return;
    }
    // A Service that was valid once stays so; one that never was is served without its invalid part.
    const isOther = this.#uids.get(key) !== entry.uid;
    if (wrong !== null && known !== undefined && !this.#lessened.has(key) && !isOther) {
      this.#record(key, entry.service);
      return;
    }
    if (wrong === null) this.#lessened.delete(key);
    else this.#lessened.add(key);
    this.invalid.delete(key);
    this.#uids.set(key, entry.uid);
    if (known !== undefined && isSame(known, entry.service)) {
      // Only the status differs: the known manifest stays, since other parts hold the same object.
      this.#record(key, entry.service);
      return;
    }
    this.#services.set(key, entry.service);
    if (entry.service.trafficPolicy === 'Local') this.#local.add(key);
    else this.#local.delete(key);
    this.#recorded.delete(key);
    changes.set.push(entry.service);
  }

  #record(key: ServiceKey, { recorded = [] }: ServiceManifest): void {
    if (`${recorded}` !== `${this.recordedOf(key)}`) this.#recorded.set(key, recorded);
  }

  #drop(key: ServiceKey, changes: { readonly remove: ServiceKey[] }): void {
    this.#otherwise.delete(key);
    this.#lessened.delete(key);
    this.invalid.delete(key);
    this.#ignored.delete(key);
    this.#uids.delete(key);
    this.#local.delete(key);
    this.#recorded.delete(key);
    if (this.#services.delete(key)) changes.remove.push(key);
  }
}

/** Ignores the status, which holds our own writes. */
function isSame(a: ServiceManifest, b: ServiceManifest): boolean {
  return JSON.stringify({ ...a, recorded: [] }) === JSON.stringify({ ...b, recorded: [] });
}
