// The Services of a cluster as the controller believes them, kept as objects come, change and go. Pure; an
// object that is wrong stays as it was when it was last right.

import type { Address } from '../../../state/address.ts';
import { parseServiceKey, type ServiceKey, ServiceKeyError } from '../../../state/service.ts';
import type { Problem, ServiceManifest, ServiceRefusal } from '../../service.ts';
import type { ReadingChanges } from '../catalog.ts';
import { FieldError, type Mapping, mapping } from '../fields.ts';
import { type ManifestRules, readDocument } from '../manifest.ts';
import type { ObjectChanges } from './list-watch.ts';
import { partialServices } from './partial-service.ts';

/** What is kept of a Service: what it asks of us, why it is wrong, or why it is none of ours. */
export type ServiceEntry =
  | {
      readonly kind: 'service';
      readonly service: ServiceManifest;
      readonly uid: string;
      /** What of it could not be read, and was left out. */
      readonly wrong: string | null;
    }
  | { readonly kind: 'invalid'; readonly message: string }
  | { readonly kind: 'ignored'; readonly as: string };

/**
 * Cuts an object of the API to what is kept of it. Nobody can write one that keeps a controller from ruling:
 * what cannot be read is left out (partial-service.ts), rather than the Service.
 */
export function cutService(
  object: Mapping,
  rules: ManifestRules,
  mayOptOut: (namespace: string) => boolean = () => true,
): ServiceEntry {
  const entry = cut(object, rules, mayOptOut);
  if (entry.kind !== 'invalid') return entry;
  for (const { object: less, isClosed } of partialServices(object)) {
    const read = cut(less, rules, mayOptOut);
    if (read.kind !== 'service') continue;
    // A VIP without the filter is open to all: nobody has asked for that who asked for what cannot be read.
    const filtered = { ...read.service, onlyServicePorts: true };
    const service = isClosed ? { ...filtered, sources: [] } : filtered;
    return { ...read, service, wrong: entry.message };
  }
  return entry;
}

function cut(object: Mapping, rules: ManifestRules, mayOptOut: (namespace: string) => boolean): ServiceEntry {
  try {
    // The items of a list carry no kind of their own.
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
 * A VIP that everybody in the cluster could open would be no filter, and a port that anybody could have
 * answered by a listener of the node would give out what only the node's own addresses have.
 */
function mayNotOptOut({ namespace, onlyServicePorts, delivery }: ServiceManifest): ServiceRefusal | null {
  const what =
    onlyServicePorts === false
      ? 'it opts out of the filter'
      : delivery === 'host'
        ? 'it has its ports answered by the node itself (vipward.io/delivery: host)'
        : null;
  if (what === null) return null;
  const message = `${what}, which --allow-opt-out does not let namespace ${namespace} do`;
  return { reason: 'Forbidden', message };
}

export class ServiceObjects {
  readonly services: ReadonlyMap<ServiceKey, ServiceManifest>;
  /** Services that are wrong, and were never right since the start. */
  readonly invalid: Map<ServiceKey, string> = new Map();
  readonly #services = new Map<ServiceKey, ServiceManifest>();
  /** What is wrong with a Service, or what of it is not followed. */
  readonly #otherwise = new Map<ServiceKey, string>();
  readonly #ignored = new Map<ServiceKey, string>();
  /** Services that were never right, and are served without what is wrong. */
  readonly #lessened = new Set<ServiceKey>();
  readonly #uids = new Map<ServiceKey, string>();
  readonly #local = new Set<ServiceKey>();
  /** What a status has come to say since its Service was read. */
  readonly #recorded = new Map<ServiceKey, readonly Address[]>();

  constructor() {
    this.services = this.#services;
  }

  /** Some Service is to be served from where its endpoints are. */
  get hasLocal(): boolean {
    return this.#local.size > 0;
  }

  /** What tells a Service from one of the same name before it; empty if it is not known. */
  uidOf(key: ServiceKey): string {
    return this.#uids.get(key) ?? '';
  }

  /** The addresses that the status of a Service says. */
  recordedOf(key: ServiceKey): readonly Address[] {
    return this.#recorded.get(key) ?? this.#services.get(key)?.recorded ?? [];
  }

  /** Why a Service is not as its object says, if it is not. */
  whyOtherwise(key: ServiceKey): string | undefined {
    return this.#otherwise.get(key);
  }

  /** Takes changes over, and returns those that mean something. */
  apply({ set, remove }: ObjectChanges<ServiceEntry>): ReadingChanges {
    const changes: { set: ServiceManifest[]; remove: ServiceKey[] } = { set: [], remove: [] };
    for (const name of remove) this.#drop(parseServiceKey(name), changes);
    for (const [name, entry] of set) this.#set(parseServiceKey(name), entry, changes);
    return changes;
  }

  /** What is wrong or not followed, with the path under which each object is to be found. */
  problems(): Problem[] {
    return [...this.#otherwise].map(([key, message]) => {
      const [namespace, name] = key.split('/');
      const file = `/api/v1/namespaces/${namespace}/services/${name}`;
      return { file, document: null, service: key, message };
    });
  }

  /** Services that are none of ours, by why they are not. */
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
    // What was right once is kept; what never was is followed without what is wrong.
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
      // All but what the status has to say is kept once, by us and by those who were told of it.
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

/** What the status has to say is our own word come back: it changes nothing. */
function isSame(a: ServiceManifest, b: ServiceManifest): boolean {
  return JSON.stringify({ ...a, recorded: [] }) === JSON.stringify({ ...b, recorded: [] });
}
