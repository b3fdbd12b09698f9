// Finds the nodes with a serving endpoint of a Service by its EndpointSlices. Pure.

import type { Family } from '../../../state/address.ts';
import { parseServiceKey, type ServiceKey } from '../../../state/service.ts';
import { FieldError, fieldAt, type Mapping, mapping, sequence } from '../fields.ts';
import type { ObjectChanges } from './list-watch.ts';

export const endpointSlicesPath = '/apis/discovery.k8s.io/v1/endpointslices';
const serviceLabel = 'kubernetes.io/service-name';

/** The kept part of a slice; null stands for a slice that belongs to no Service or cannot be read. */
export interface SliceEntry {
  readonly service: ServiceKey;
  readonly family: Family;
  readonly ready: readonly string[];
  /** Nodes with an endpoint that serves while it terminates. */
  readonly ending: readonly string[];
}

export function cutSlice(object: Mapping): SliceEntry | null {
  try {
    const { namespace, labels } = mapping(object['metadata'], 'metadata');
    const name = mapping(labels ?? {}, 'metadata.labels')[serviceLabel];
    const { addressType } = object;
    if (typeof name !== 'string' || (addressType !== 'IPv4' && addressType !== 'IPv6')) return null;
    // The label may have a value that is no valid Service name.
    const service = fieldAt(serviceLabel, () => parseServiceKey(`${namespace}/${name}`));
    const [ready, ending]: [string[], string[]] = [[], []];
    for (const item of sequence(object['endpoints'], 'endpoints')) {
      const { nodeName, conditions } = mapping(item, 'endpoints[]');
      if (typeof nodeName !== 'string') continue;
      const known = mapping(conditions ?? {}, 'conditions');
      // An absent condition means ready, serving and not terminating.
      if (known['ready'] !== false) ready.push(nodeName);
      else if (known['serving'] !== false && known['terminating'] === true) ending.push(nodeName);
    }
    return { service, family: addressType === 'IPv4' ? 4 : 6, ready, ending };
  } catch (error) {
    if (error instanceof FieldError) return null;
    throw error;
  }
}

/** All slices, by the Service they belong to. */
export class Endpoints {
  readonly #slices = new Map<string, SliceEntry>();
  readonly #ofService = new Map<ServiceKey, Set<string>>();

  /** Applies changes and returns the Services they concern. */
  apply({ set, remove }: ObjectChanges<SliceEntry | null>): ReadonlySet<ServiceKey> {
    const touched = new Set<ServiceKey>();
    for (const key of [...remove, ...set.keys()]) this.#drop(key, touched);
    for (const [key, slice] of set) {
      if (slice === null) continue;
      this.#slices.set(key, slice);
      touched.add(slice.service);
      const known = this.#ofService.get(slice.service);
      if (known === undefined) this.#ofService.set(slice.service, new Set([key]));
      else known.add(key);
    }
    return touched;
  }

  /**
   * The nodes with a ready endpoint of the family; if there is none, those where one serves while it
   * terminates.
   */
  nodesOf(service: ServiceKey, family: Family): ReadonlySet<string> {
    const [ready, ending] = [new Set<string>(), new Set<string>()];
    for (const key of this.#ofService.get(service) ?? []) {
      const slice = this.#slices.get(key);
      if (slice?.family !== family) continue;
      for (const node of slice.ready) ready.add(node);
      for (const node of slice.ending) ending.add(node);
    }
    return ready.size > 0 ? ready : ending;
  }

  #drop(key: string, touched: Set<ServiceKey>): void {
    const slice = this.#slices.get(key);
    if (slice === undefined) return;
    this.#slices.delete(key);
    touched.add(slice.service);
    const others = this.#ofService.get(slice.service);
    others?.delete(key);
    if (others?.size === 0) this.#ofService.delete(slice.service);
  }
}
