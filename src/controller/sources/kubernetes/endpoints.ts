// Which nodes have an endpoint of a Service to serve from, by its EndpointSlices. Pure.

import type { Family } from '../../../state/address.ts';
import { parseServiceKey, type ServiceKey } from '../../../state/service.ts';
import { FieldError, fieldAt, type Mapping, mapping, sequence } from '../fields.ts';
import type { ObjectChanges } from './list-watch.ts';

export const endpointSlicesPath = '/apis/discovery.k8s.io/v1/endpointslices';
const serviceLabel = 'kubernetes.io/service-name';

/** What is kept of a slice; null for one that belongs to no Service, or cannot be read. */
export interface SliceEntry {
  readonly service: ServiceKey;
  readonly family: Family;
  readonly ready: readonly string[];
  /** Where an endpoint still serves while it ends. */
  readonly ending: readonly string[];
}

export function cutSlice(object: Mapping): SliceEntry | null {
  try {
    const { namespace, labels } = mapping(object['metadata'], 'metadata');
    const name = mapping(labels ?? {}, 'metadata.labels')[serviceLabel];
    const { addressType } = object;
    if (typeof name !== 'string' || (addressType !== 'IPv4' && addressType !== 'IPv6')) return null;
    // A label may be what no name of a Service can be.
    const service = fieldAt(serviceLabel, () => parseServiceKey(`${namespace}/${name}`));
    const [ready, ending]: [string[], string[]] = [[], []];
    for (const item of sequence(object['endpoints'], 'endpoints')) {
      const { nodeName, conditions } = mapping(item, 'endpoints[]');
      if (typeof nodeName !== 'string') continue;
      const known = mapping(conditions ?? {}, 'conditions');
      // What is not said is to be taken for ready and for serving, and for no end.
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

  /** Takes changes over, and returns the Services they are about. */
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

  /** Where there is a ready endpoint of the family; if nowhere, where one serves while it ends. */
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
