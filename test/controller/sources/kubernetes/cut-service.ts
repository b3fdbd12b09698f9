// What a controller in a cluster keeps of a Service by the usual flags.
import * as objects from '../../../../src/controller/sources/kubernetes/service-objects.ts';

const rules = { classes: [], takesUnclassed: true, delivery: 'forward', isOfCluster: true } as const;

/** Every namespace may opt out, unless told otherwise. */
export function cutService(
  object: object,
  mayOptOut: (namespace: string) => boolean = () => true,
): objects.ServiceEntry {
  return objects.cutService({ ...object }, rules, mayOptOut);
}
