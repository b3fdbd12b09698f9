// Serves a Service in part if some field cannot be read: never to more clients or on more ports than it
// declares, and with its address as long as one of its ports can be read. Pure.

import { flagNames, sourceRangesName } from '../annotations.ts';
import { FieldError, isMapping, type Mapping } from '../fields.ts';
import { readTrafficPolicy, readWish } from '../manifest.ts';
import { readPort } from '../traffic.ts';

export interface PartialService {
  readonly object: Mapping;
  /**
   * True if no client may connect: the permitted sources cannot be read, or nothing of the Service is sure.
   */
  readonly isClosed: boolean;
}

/** Yields the object with fewer and fewer fields. The API server has validated all but the annotations. */
export function* partialServices(object: Mapping): Generator<PartialService, void> {
  const flagless = withoutAnnotations(object, flagNames);
  yield { object: flagless, isClosed: false };
  const { spec } = flagless;
  if (!isMapping(spec)) return;
  const { loadBalancerSourceRanges, ...open } = spec;
  const closed = { ...withoutAnnotations(flagless, [sourceRangesName]), spec: open };
  yield { object: closed, isClosed: true };
  // A later Kubernetes may use values that are unknown here: known ports, families and policies stay.
  const { type, loadBalancerClass, loadBalancerIP, ports } = spec;
  const known = Array.isArray(ports) ? ports.filter((port) => reads(() => readPort(port, 'port'))) : [];
  let kept: Mapping = { type, loadBalancerClass, loadBalancerIP, ports: known };
  for (const name of ['ipFamilies', 'ipFamilyPolicy', 'externalTrafficPolicy']) {
    const more = { ...kept, [name]: spec[name] };
    if (reads(() => [readWish(more, { isOfCluster: true }), readTrafficPolicy(more)])) kept = more;
  }
  yield { object: { ...closed, spec: kept }, isClosed: true };
}

function withoutAnnotations(object: Mapping, names: readonly string[]): Mapping {
  const { metadata } = object;
  if (!isMapping(metadata) || !isMapping(metadata['annotations'])) return object;
  const kept = Object.entries(metadata['annotations']).filter(([name]) => !names.includes(name));
  return { ...object, metadata: { ...metadata, annotations: Object.fromEntries(kept) } };
}

function reads(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof FieldError) return false;
    throw error;
  }
}
